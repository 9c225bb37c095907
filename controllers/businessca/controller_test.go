package businessca_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

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

func TestIssuedByIndustryCA(t *testing.T) {
	tier := controllertest.New(t)
	industry := tier.ReadyIndustryCA(t)
	ca := tier.ReadyBusinessCA(t)

	cert, err := pki.ParseCertificatePEM(ca.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseCertificatesPEM(ca.Status.Chain, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.VerifyChain(cert, chain, tier.Now); err != nil {
		t.Error(err)
	}
	if want := string(industry.Status.Certificate) + string(tier.Root.CertificatePEM()); string(ca.Status.Chain) != want {
		t.Errorf("chain is not the IndustryCA's certificate, then the root's:\n%s", cmp.Diff(want, string(ca.Status.Chain)))
	}
	if !cert.IsCA || !cert.MaxPathLenZero {
		t.Errorf("certificate: CA %t, path length zero %t, want both true", cert.IsCA, cert.MaxPathLenZero)
	}
	if got := ca.Status.NotAfter; got == nil || !got.Time.Equal(cert.NotAfter) {
		t.Errorf("status.notAfter: got %v, want %v", got, cert.NotAfter)
	}

	before := ca.DeepCopy()
	if _, err := controllertest.Reconcile(t, tier.Client, tier.Business(), ca); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Status.Certificate, ca.Status.Certificate); diff != "" {
		t.Errorf("another reconcile changed the certificate:\n%s", diff)
	}
	if n := issued(t, tier); n != 1 {
		t.Errorf("the IndustryCA issued %d certificates, want 1", n)
	}
}

// An object that comes back, with or without the process, is the same CA.
func TestCertificateIsAdopted(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *controllertest.Tier, *pkiv1.BusinessCA){
		"object deleted": func(t *testing.T, tier *controllertest.Tier, ca *pkiv1.BusinessCA) { tier.Delete(t, ca) },
		"namespace wiped and process restarted": func(t *testing.T, tier *controllertest.Tier, _ *pkiv1.BusinessCA) {
			tier.Wipe(t)
			tier.Restart(t)
			tier.DeclareDevice(t)
			tier.ReadyIndustryCA(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tier := controllertest.New(t)
			tier.ReadyIndustryCA(t)
			before := tier.ReadyBusinessCA(t)
			lose(t, tier, before)

			after := tier.NewBusinessCA()
			tier.Create(t, after)
			if _, err := controllertest.Reconcile(t, tier.Client, tier.Business(), after); err != nil {
				t.Fatal(err)
			}
			if after.UID == before.UID {
				t.Fatal("the object was not made anew")
			}
			if got, want := controllertest.Reason(after, pkiv1.ConditionCertificateReady), "True/Adopted"; got != want {
				t.Errorf("CertificateReady: got %s, want %s", got, want)
			}
			if diff := cmp.Diff(string(before.Status.Certificate), string(after.Status.Certificate)); diff != "" {
				t.Errorf("certificate is another one:\n%s", diff)
			}
			if n := issued(t, tier); n != 1 {
				t.Errorf("the IndustryCA issued %d certificates, want 1", n)
			}
		})
	}
}

// A name that was used stays with what it was used for.
func TestOtherContentIsRefused(t *testing.T) {
	tier := controllertest.New(t)
	tier.ReadyIndustryCA(t)
	tier.Delete(t, tier.ReadyBusinessCA(t))

	ca := tier.NewBusinessCA()
	ca.Spec.Subject = "CN=Another CA,O=Ministry,C=CN"
	tier.Create(t, ca)
	_, err := controllertest.Reconcile(t, tier.Client, tier.Business(), ca)
	if err == nil {
		t.Error("got no error, want a terminal one")
	}
	if got, want := controllertest.Reason(ca, pkiv1.ConditionCertificateReady), "False/CertificateInvalid"; got != want {
		t.Errorf("CertificateReady: got %s, want %s", got, want)
	}
	if len(ca.Status.Certificate) != 0 {
		t.Error("status has a certificate")
	}
}

func TestWaitsForIssuer(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*testing.T, *controllertest.Tier)
		want    string
	}{
		"absent":    {func(*testing.T, *controllertest.Tier) {}, "False/ReferenceNotFound"},
		"not Ready": {func(t *testing.T, tier *controllertest.Tier) { tier.Create(t, tier.NewIndustryCA()) }, "False/ReferenceNotReady"},
		"paused": {func(t *testing.T, tier *controllertest.Tier) {
			ca := tier.ReadyIndustryCA(t)
			ca.Spec.Issuance = pkiv1.IssuancePaused
			tier.Update(t, ca)
			if _, err := controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca); err != nil {
				t.Fatal(err)
			}
		}, "False/IssuancePaused"},
	} {
		t.Run(name, func(t *testing.T) {
			tier := controllertest.New(t)
			c.prepare(t, tier)
			ca := tier.NewBusinessCA()
			tier.Create(t, ca)
			result, err := controllertest.Reconcile(t, tier.Client, tier.Business(), ca)
			if err != nil || result.RequeueAfter <= 0 {
				t.Errorf("got %v, error %v, want to be looked at again without one", result, err)
			}
			if got := controllertest.Reason(ca, pkiv1.ConditionCertificateReady); got != c.want {
				t.Errorf("CertificateReady: got %s, want %s", got, c.want)
			}
		})
	}
}

func issued(t *testing.T, tier *controllertest.Tier) int64 {
	t.Helper()
	ca, err := tier.Authorities.Newest("IndustryCA/" + tier.Namespace + "/" + controllertest.IndustryName)
	if err != nil {
		t.Fatal(err)
	}
	n, err := tier.Authorities.Count(t.Context(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
