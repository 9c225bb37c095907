// Package people_test runs requests, decisions and revocations as people do
// them: real webhooks, real RBAC, every controller of the RA, two databases.
package people_test

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/approval"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/controllers/certificaterevocation"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/registrationauthority"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/test/apiserver"
	"github.com/terrace-pki/terrace/webhooks"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// ministry is a tier whose RA asks for two approvals, with its people.
type ministry struct {
	*controllertest.Tier
	store registration.Store
	stop  func()
	ca    *pkiv1.BusinessCA
}

func newMinistry(t *testing.T) *ministry {
	t.Helper()
	m := &ministry{Tier: controllertest.New(t)}
	m.ReadyIndustryCA(t)
	m.ca = m.ReadyBusinessCA(t)
	m.declare(t)
	apiserver.BindRoles(t, controllertest.Config(), "../../config/rbac/people.yaml", m.Namespace)
	m.serveWebhooks(t)
	m.start(t)
	t.Cleanup(func() { m.stop() })
	return m
}

// declare creates what Git holds of the RA.
func (m *ministry) declare(t *testing.T) {
	t.Helper()
	m.Create(t, &pkiv1.CertificateProfile{ObjectMeta: m.Meta("device"), Spec: pkiv1.CertificateProfileSpec{
		Subject:   []pkiv1.SubjectAttributeRule{{Type: "C", Presence: pkiv1.AttributeFixed, Value: "CN"}, {Type: "CN"}},
		KeyUsages: []pkiv1.KeyUsage{"DigitalSignature"}, Validity: metav1.Duration{Duration: 365 * 24 * time.Hour}}})
	m.Create(t, &pkiv1.RegistrationAuthority{ObjectMeta: m.Meta("ra"), Spec: pkiv1.RegistrationAuthoritySpec{
		BusinessCARef: pkiv1.LocalObjectReference{Name: m.ca.Name}, AllowedProfiles: []string{"device"},
		AllowedNames: []pkiv1.NameRule{{SubjectBase: "C=CN"}}, ApprovalPolicy: pkiv1.ApprovalReviewed,
		Approvals: []pkiv1.ProfileApprovals{{Profile: "device", Required: 2}}}})
}

func (m *ministry) newManager(t *testing.T, options ctrl.Options) ctrl.Manager {
	t.Helper()
	anew := true
	options.Scheme, options.Metrics = m.Client.Scheme(), metricsserver.Options{BindAddress: "0"}
	options.Controller = config.Controller{SkipNameValidation: &anew}
	mgr, err := ctrl.NewManager(controllertest.Config(), options)
	if err != nil {
		t.Fatal(err)
	}
	return mgr
}

// run starts a manager and returns what stops it.
func run(t *testing.T, mgr ctrl.Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (m *ministry) serveWebhooks(t *testing.T) {
	t.Helper()
	hooks, err := apiserver.InstallWebhooks(controllertest.Config(), "../../config/webhook")
	if err != nil {
		t.Fatal(err)
	}
	mgr := m.newManager(t, ctrl.Options{WebhookServer: hooks.Server()})
	if err := webhooks.SetupAll(mgr); err != nil {
		t.Fatal(err)
	}
	hooks.Run(t, mgr)
	// Before the API server knows of the webhooks it takes what they refuse.
	m.eventually(t, "the webhooks answer", func(ctx context.Context) (bool, string) {
		err := m.Client.Create(ctx, m.decision(&pkiv1.CertificateRequest{ObjectMeta: m.Meta("nobody")}, "probe"), client.DryRunAll)
		return apierrors.IsInvalid(err), errorText(err)
	})
}

// start runs a new RA process on the databases.
func (m *ministry) start(t *testing.T) {
	t.Helper()
	m.store = m.Registration(t, sqlite.OpenRegistration)
	mgr := m.newManager(t, ctrl.Options{})
	c := mgr.GetClient()
	if err := errors.Join(
		(&registrationauthority.Reconciler{Client: c}).SetupWithManager(mgr),
		(&certificaterequest.Reconciler{Client: c, Issuer: m.Issuer(), Store: m.store}).SetupWithManager(mgr),
		(&approval.Reconciler{Client: c, Store: m.store}).SetupWithManager(mgr),
		(&certificaterevocation.Reconciler{Client: c, Issuer: m.Issuer()}).SetupWithManager(mgr)); err != nil {
		t.Fatal(err)
	}
	m.stop = run(t, mgr)
}

// as is a person with roles of config/rbac/people.yaml.
func (m *ministry) as(t *testing.T, user string, roles ...string) client.Client {
	t.Helper()
	cfg := controllertest.Config()
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: roles}
	c, err := client.New(cfg, client.Options{Scheme: m.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (m *ministry) eventually(t *testing.T, what string, is func(context.Context) (bool, string)) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (ok bool, _ error) {
		ok, last = is(ctx)
		return ok, nil
	})
	if err != nil {
		t.Fatalf("%s: %v, last: %s", what, err, last)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
