package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// deletionPath is where config/webhook/deletion.yaml sends deletions.
const deletionPath = "/validate-deletion"

// deletionTimeout bounds the reading for one deletion: below the 10 s after
// which the API server gives up, so that the answer says what happened.
const deletionTimeout = 8 * time.Second

// shownUsers bounds the users that a refusal lists.
const shownUsers = 5

// deletion refuses the deletion of what is in use. It reads the API server, not
// a cache: a user that was created a moment ago counts.
type deletion struct {
	reader  client.Reader
	decoder admission.Decoder
	now     func() time.Time
}

func setupDeletion(mgr ctrl.Manager) error {
	mgr.GetWebhookServer().Register(deletionPath, &admission.Webhook{Handler: &deletion{
		reader: mgr.GetAPIReader(), decoder: admission.NewDecoder(mgr.GetScheme()), now: time.Now}})
	return nil
}

// guard says what stands against the deletion of one kind's objects.
type guard struct {
	object func() client.Object
	check  func(context.Context, *deletion, client.Object) (objection, error)
}

// objection is why an object must stay; the zero value lets it go.
type objection struct {
	// users of the object, as "Kind name", at most shownUsers; more says that
	// there are others.
	users []string
	more  bool
	// held says in place of users what else holds the object.
	held string
	// cure tells what to do.
	cure string
}

func (o *objection) add(user string) (full bool) {
	if len(o.users) == shownUsers {
		o.more = true
		return true
	}
	o.users = append(o.users, user)
	return false
}

func (o objection) String() string {
	if o.held != "" {
		return o.held + ": " + o.cure
	}
	return "is in use by " + o.list() + ": " + o.cure
}

func (o objection) list() string {
	users := strings.Join(o.users, ", ")
	if o.more {
		users += " and others"
	}
	return users
}

// guards by kind. No kind needs another one in a circle, so that a whole
// namespace, deleted in any order and tried again, comes apart from its users down.
var guards = map[string]guard{
	"Namespace":             {newOf[corev1.Namespace], checkNamespace},
	"Secret":                {newOf[corev1.Secret], checkSecret},
	"Tier":                  {newOf[pkiv1.Tier], checkTier},
	"CryptoDevice":          {newOf[pkiv1.CryptoDevice], checkCryptoDevice},
	"IndustryCA":            {newOf[pkiv1.IndustryCA], checkIndustryCA},
	"BusinessCA":            {newOf[pkiv1.BusinessCA], checkBusinessCA},
	"CertificateProfile":    {newOf[pkiv1.CertificateProfile], checkCertificateProfile},
	"RegistrationAuthority": {newOf[pkiv1.RegistrationAuthority], checkRegistrationAuthority},
	"ValidationService":     {newOf[pkiv1.ValidationService], checkValidationService},
	"Directory":             {newOf[pkiv1.Directory], checkDirectory},
}

func newOf[T any, P interface {
	*T
	client.Object
}]() client.Object {
	return P(new(T))
}

// Handle answers one deletion. Everything else passes: the configuration sends
// nothing else, and a deletion that has begun is held by finalizers.
func (d *deletion) Handle(ctx context.Context, req admission.Request) admission.Response {
	g, known := guards[req.Kind.Kind]
	if req.Operation != "DELETE" || !known {
		return admission.Allowed("")
	}
	obj := g.object()
	if err := d.decoder.DecodeRaw(req.OldObject, obj); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("decode the object to be deleted: %w", err))
	}
	if !obj.GetDeletionTimestamp().IsZero() {
		return admission.Allowed("")
	}
	ctx, cancel := context.WithTimeout(ctx, deletionTimeout)
	defer cancel()
	o, err := g.check(ctx, d, obj)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, fmt.Errorf("look for what uses %s %q: %w; try again", req.Kind.Kind, obj.GetName(), err))
	}
	if len(o.users) == 0 && o.held == "" {
		return admission.Allowed("")
	}
	return admission.Denied(fmt.Sprintf("%s %q %s", req.Kind.Kind, obj.GetName(), o))
}

// pageSize of a list: one page of requests is about 2 MB.
const pageSize = 500

// errEnough ends a walk through a list early.
var errEnough = errors.New("enough was seen")

// each calls use for every item of list's kind, page by page, until use says
// that it has seen enough.
func each[T client.Object](ctx context.Context, d *deletion, list client.ObjectList, use func(T) (enough bool), opts ...client.ListOption) error {
	for next := ""; ; {
		page := list.DeepCopyObject().(client.ObjectList) // a fresh one: use may keep items
		if err := d.reader.List(ctx, page, append([]client.ListOption{client.Limit(pageSize), client.Continue(next)}, opts...)...); err != nil {
			return fmt.Errorf("list %T: %w", list, err)
		}
		err := meta.EachListItem(page, func(o runtime.Object) error {
			if use(o.(T)) {
				return errEnough
			}
			return nil
		})
		if next = page.GetContinue(); err != nil || next == "" {
			return ignoreEnough(err)
		}
	}
}

func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
