package certificaterequest_test

import (
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm3"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
)

// A hold may be released, so the request is looked at again.
func TestRevokedCAIssuesNothing(t *testing.T) {
	tier, ca := newTier(t)
	act := func(name string, verb authority.Verb) {
		t.Helper()
		done, err := tier.Issuer().Perform(t.Context(), registration.Act{Verb: verb, CertificateAuthority: "BusinessCA/" + ca.Namespace + "/" + ca.Name,
			Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: ca.Namespace, Name: name, Digest: sm3.Sum([]byte(name))}})
		if err != nil || done.Refusal != "" {
			t.Fatalf("%s: %+v, %v", name, done, err)
		}
	}
	act("hold", authority.VerbHold)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	result, err := reconcileRequest(t, tier, req)
	if err != nil || result.RequeueAfter <= 0 {
		t.Errorf("got %v, error %v, want to be looked at again without one", result, err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionIssued); got != "False/IssuerRevoked" {
		t.Errorf("Issued: got %s, want False/IssuerRevoked", got)
	}
	if got := controllertest.Message(req, pkiv1.ConditionIssued); !strings.Contains(got, ca.Name) || !strings.Contains(got, "revoked or on hold") {
		t.Errorf("message %q does not say which CA and why", got)
	}
	act("release", authority.VerbRelease)
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionReady); got != "True/Succeeded" {
		t.Errorf("Ready after the release: got %s, want True/Succeeded", got)
	}
}
