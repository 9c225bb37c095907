package industryca_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

func TestAwaitsCertificate(t *testing.T) {
	tier := controllertest.New(t)
	ca := tier.NewIndustryCA()
	tier.Create(t, ca)
	result, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca)
	if err != nil || result.RequeueAfter <= 0 {
		t.Errorf("got %v, error %v, want to be looked at again without one", result, err)
	}
	got := map[string]string{}
	for _, c := range []string{pkiv1.ConditionKeyReady, pkiv1.ConditionCertificateReady, pkiv1.ConditionSpecAccepted, pkiv1.ConditionReady, pkiv1.ConditionReconciling} {
		got[c] = controllertest.Reason(ca, c)
	}
	want := map[string]string{"KeyReady": "True/Succeeded", "CertificateReady": "False/AwaitingCertificate", "SpecAccepted": "Unknown/Progressing",
		"Ready": "False/AwaitingCertificate", "Reconciling": "True/AwaitingCertificate"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	req, err := pki.ParseRequest(ca.Status.CertificateSigningRequest)
	if err != nil {
		t.Fatal(err)
	}
	if err := req.VerifyPossession(); err != nil {
		t.Error(err)
	}

	// Its signature is random: a new one each time would change the status for ever.
	before := ca.Status.CertificateSigningRequest
	if _, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca); err != nil {
		t.Fatal(err)
	}
	if string(before) != string(ca.Status.CertificateSigningRequest) {
		t.Error("another reconcile changed the signing request")
	}
}

// What spec says from now on is wrong; the CA keeps the certificate it has.
func TestCertificateIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change            func(*testing.T, *controllertest.Tier, *pkiv1.IndustryCASpec)
		later             time.Duration
		want, wantMessage string
		wantTerminal      bool
	}{
		"another key": {change: func(t *testing.T, tier *controllertest.Tier, s *pkiv1.IndustryCASpec) {
			s.Certificate = tier.Certify(t, tier.Request(t, "other", s.Subject))
		}, want: "False/CertificateInvalid", wantMessage: "another key", wantTerminal: true},
		"another root of the same name": {change: func(t *testing.T, tier *controllertest.Tier, s *pkiv1.IndustryCASpec) {
			s.RootCertificate = controllertest.NewRoot(t, tier.Now).CertificatePEM()
		}, want: "False/CertificateInvalid", wantMessage: "authority key identifier"},
		"a root that is none": {change: func(_ *testing.T, _ *controllertest.Tier, s *pkiv1.IndustryCASpec) {
			s.RootCertificate = s.Certificate
		}, want: "False/CertificateInvalid", wantMessage: "verify chain"},
		"root is no certificate": {change: func(_ *testing.T, _ *controllertest.Tier, s *pkiv1.IndustryCASpec) {
			s.RootCertificate = []byte("root")
		}, want: "False/RootInvalid", wantMessage: "spec.rootCertificate", wantTerminal: true},
		"certificate is none": {change: func(_ *testing.T, _ *controllertest.Tier, s *pkiv1.IndustryCASpec) {
			s.Certificate = []byte("certificate")
		}, want: "False/CertificateInvalid", wantMessage: "spec.certificate", wantTerminal: true},
		"expired": {change: func(*testing.T, *controllertest.Tier, *pkiv1.IndustryCASpec) {},
			later: 25 * 365 * 24 * time.Hour, want: "False/CertificateInvalid", wantMessage: "expired"},
		"not valid yet": {change: func(*testing.T, *controllertest.Tier, *pkiv1.IndustryCASpec) {},
			later: -24 * time.Hour, want: "False/CertificateInvalid", wantMessage: "not valid before"},
	} {
		t.Run(name, func(t *testing.T) {
			tier := controllertest.New(t)
			ca := tier.ReadyIndustryCA(t)
			before := ca.DeepCopy()
			c.change(t, tier, &ca.Spec)
			tier.Update(t, ca)
			result, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now.Add(c.later)), ca)
			if terminal := errors.Is(err, reconcile.TerminalError(nil)); terminal != c.wantTerminal || !terminal && (err != nil || result.RequeueAfter <= 0) {
				t.Errorf("got %v, error %v, want terminal error %t, else to be looked at again", result, err, c.wantTerminal)
			}
			if got := controllertest.Reason(ca, pkiv1.ConditionCertificateReady); got != c.want {
				t.Errorf("CertificateReady: got %s, want %s", got, c.want)
			}
			if got := controllertest.Reason(ca, pkiv1.ConditionStalled); got != "True/"+strings.TrimPrefix(c.want, "False/") {
				t.Errorf("Stalled: got %s", got)
			}
			if got := controllertest.Message(ca, pkiv1.ConditionCertificateReady); !strings.Contains(got, c.wantMessage) {
				t.Errorf("message: got %q, want it to say %q", got, c.wantMessage)
			}
			if string(ca.Status.Certificate) != string(before.Status.Certificate) || string(ca.Status.Chain) != string(before.Status.Chain) {
				t.Error("status.certificate or chain changed")
			}
		})
	}
}

func TestDeltaInterval(t *testing.T) {
	tier := controllertest.New(t)
	for name, c := range map[string]struct{ delta, want string }{
		"shorter": {"1h", ""}, "too short": {"30s", "crl.deltaInterval must be between 1m and 8760h"},
		"as long": {"24h", "crl.deltaInterval must be shorter than crl.interval"},
	} {
		t.Run(name, func(t *testing.T) {
			delta, err := time.ParseDuration(c.delta)
			if err != nil {
				t.Fatal(err)
			}
			ca := tier.NewIndustryCA()
			ca.Spec.CRL.Interval.Duration = 24 * time.Hour
			ca.Spec.CRL.DeltaInterval = &metav1.Duration{Duration: delta}
			err = tier.Client.Create(t.Context(), ca, client.DryRunAll)
			if c.want == "" && err != nil || c.want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
