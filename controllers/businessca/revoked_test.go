package businessca_test

import (
	"testing"

	"github.com/emmansun/gmsm/sm3"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

func TestRevokedCACertifiesNone(t *testing.T) {
	tier := controllertest.New(t)
	tier.ReadyIndustryCA(t)
	above := tier.ReadyBusinessCA(t)
	done, err := tier.Issuer().Perform(t.Context(), registration.Act{Verb: authority.VerbRevoke, Reason: pki.ReasonKeyCompromise,
		CertificateAuthority: "BusinessCA/" + above.Namespace + "/" + above.Name,
		Identity:             authority.Identity{Kind: "CertificateRevocation", Namespace: above.Namespace, Name: "revoke", Digest: sm3.Sum([]byte("revoke"))}})
	if err != nil || done.Refusal != "" {
		t.Fatal(done, err)
	}
	ca := tier.NewBusinessCA()
	ca.Name, ca.Spec.Subject = "below", "CN=Below,O=Ministry,C=CN"
	ca.Spec.Issuer = pkiv1.BusinessCAIssuer{BusinessCARef: &pkiv1.LocalObjectReference{Name: above.Name}}
	tier.Create(t, ca)
	result, err := controllertest.Reconcile(t, tier.Client, tier.Business(), ca)
	if err != nil || result.RequeueAfter <= 0 {
		t.Errorf("got %v, error %v, want to be looked at again without one", result, err)
	}
	if got, want := controllertest.Reason(ca, pkiv1.ConditionCertificateReady), "False/IssuerRevoked"; got != want {
		t.Errorf("CertificateReady: got %s, want %s", got, want)
	}
}
