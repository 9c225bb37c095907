// Package directory reconciles Directory (目录服务系统). Two controllers in two
// processes share one object: Master beside the ledger, Slaves beside the LDAP
// master. Each applies the part of the status that it knows under a field owner
// of its own.
package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/publishing"
)

const (
	// checkInterval is how often a Directory is looked at. Nothing is written
	// unless a state turned, or numbers differ that are numbersInterval old.
	checkInterval   = 3 * time.Second
	numbersInterval = 30 * time.Second
)

var namings = map[pkiv1.EntryNaming]directory.Naming{
	pkiv1.NamingSerialNumber:           directory.NamingSerial,
	pkiv1.NamingSubjectAndSerialNumber: directory.NamingSubject,
}

var audiences = map[pkiv1.DirectoryVisibility]directory.Audience{
	pkiv1.VisibilityBusiness: directory.Business,
	pkiv1.VisibilityPublic:   directory.Public,
}

// specOf is the spec as the services keep it, with the master's writing account.
func specOf(d *pkiv1.Directory) publishing.Spec {
	s := publishing.Spec{Namespace: d.Namespace, Name: d.Name, Base: d.Spec.BaseDN, Naming: namings[d.Spec.Naming], Audience: audiences[d.Spec.Visibility],
		Master: serverOf(d.Namespace, d.Spec.Master), VerifyInterval: d.Spec.VerifyInterval.Duration}
	for _, slave := range d.Spec.Slaves {
		s.Slaves = append(s.Slaves, serverOf(d.Namespace, slave))
	}
	return s
}

// pusherSpecOf is the spec as the pusher keeps it: it only reads the master.
func pusherSpecOf(d *pkiv1.Directory) publishing.Spec {
	s := specOf(d)
	if r := d.Spec.Reader; r != nil {
		s.Master.BindDN, s.Master.Password = r.BindDN, refOf(d.Namespace, r.PasswordSecretRef)
	}
	return s
}

func serverOf(namespace string, s pkiv1.DirectoryServer) publishing.Server {
	return publishing.Server{Name: s.Name, URL: s.URL, BindDN: s.BindDN, Password: refOf(namespace, s.PasswordSecretRef), CABundle: s.CABundle}
}

func refOf(namespace string, r pkiv1.SecretKeyReference) publishing.PasswordRef {
	return publishing.PasswordRef{Namespace: namespace, Name: r.Name, Key: r.Key}
}

// refersTo says whether any account of a Directory has its password in a Secret.
func refersTo(item, secret client.Object) bool {
	d, ok := item.(*pkiv1.Directory)
	if !ok || d.Namespace != secret.GetNamespace() {
		return false
	}
	names := []string{d.Spec.Master.PasswordSecretRef.Name}
	if d.Spec.Reader != nil {
		names = append(names, d.Spec.Reader.PasswordSecretRef.Name)
	}
	for _, s := range d.Spec.Slaves {
		names = append(names, s.PasswordSecretRef.Name)
	}
	for _, n := range names {
		if n == secret.GetName() {
			return true
		}
	}
	return false
}

// readPassword takes a password from its Secret into memory. What keeps it from
// doing so is no error as long as the process knows the password otherwise. The
// Secret's type is checked, since whoever writes a Directory chooses the server
// that the password goes to.
func readPassword(ctx context.Context, c client.Client, passwords *publishing.Passwords, ref publishing.PasswordRef) (changed bool, err error) {
	var secret corev1.Secret
	err = c.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &secret)
	value := []byte(strings.TrimRight(string(secret.Data[ref.Key]), "\r\n"))
	switch {
	case apierrors.IsNotFound(err):
		err = fmt.Errorf("the Secret %q is not there; create it: %s", ref.Name, creation(ref))
	case err != nil:
		err = fmt.Errorf("read Secret %q: %w", ref.Name, err)
	case secret.Type != pkiv1.SecretTypeBindPassword:
		err = fmt.Errorf("the Secret %q has type %q, only %q is sent to a directory server; delete it if it is meant, and create it: %s",
			ref.Name, secret.Type, pkiv1.SecretTypeBindPassword, creation(ref))
	case len(value) == 0:
		err = fmt.Errorf("the Secret %q has no key %q", ref.Name, ref.Key)
	default:
		return passwords.Set(ref, value), nil
	}
	if _, unknown := passwords.Get(ref); unknown == nil {
		return false, nil
	}
	return false, err
}

func creation(ref publishing.PasswordRef) string {
	return fmt.Sprintf("kubectl -n %s create secret generic %s --type=%s --from-literal=%s=...", ref.Namespace, ref.Name, pkiv1.SecretTypeBindPassword, ref.Key)
}

// take has a service accept a spec. Where another Directory has its entries and
// its object is gone, as after it was renamed, that one is retired first: two
// that look after one place would each remove what the other writes.
func take(ctx context.Context, c client.Client, accept func() error, retire func(id string) error) error {
	for {
		err := accept()
		var overlap *publishing.OverlapError
		if !errors.As(err, &overlap) {
			return err
		}
		key := client.ObjectKey{Namespace: overlap.Namespace, Name: overlap.Name}
		if get := c.Get(ctx, key, &pkiv1.Directory{}); get == nil {
			return err
		} else if !apierrors.IsNotFound(get) {
			return fmt.Errorf("read Directory %s: %w", key, get)
		}
		// Die after this: the next reconcile accepts.
		if err := retire(key.String()); err != nil {
			return err
		}
	}
}

// notAccepted says in the API's words why a spec was not.
func notAccepted(err error) *step.NotReady {
	var overlap *publishing.OverlapError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &overlap):
		return step.Stalled(pkiv1.ReasonInvalidSpec, "%v", err)
	case errors.Is(err, publishing.ErrLedger):
		return step.Waiting(pkiv1.ReasonStoreUnavailable, "%v", err)
	}
	return step.Waiting(pkiv1.ReasonProgressing, "%v", err)
}
