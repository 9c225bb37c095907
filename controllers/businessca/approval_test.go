package businessca_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/businessca"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/limits"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// officers are two whose signatures the CA's process asks for, and one it does not know.
type officers struct {
	*controllertest.Tier
	keys map[string]*sm2.PrivateKey
	r    *businessca.Reconciler
	ca   *pkiv1.BusinessCA
}

func newOfficers(t *testing.T) *officers {
	t.Helper()
	o := &officers{Tier: controllertest.New(t), keys: map[string]*sm2.PrivateKey{}}
	o.ReadyIndustryCA(t)
	text := "officers:\n"
	for _, name := range []string{"zhang", "li", "stranger"} {
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		o.keys[name] = key
		spki, err := pki.MarshalSPKI(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if name != "stranger" {
			text += fmt.Sprintf("  - name: %s\n    publicKey: |\n      %s\n", name, strings.ReplaceAll(strings.TrimSpace(string(pki.EncodePEM(pki.PEMPublicKey, spki))), "\n", "\n      "))
		}
	}
	l, err := limits.Parse([]byte(text + fmt.Sprintf("subordinates:\n  - {issuer: IndustryCA/%s/%s, validity: 200000h, names: [{subjectBase: \"C=CN\"}], approvals: 2}\n", o.Namespace, controllertest.IndustryName)))
	if err != nil {
		t.Fatal(err)
	}
	o.r = o.Business()
	o.r.Limits = l
	o.ca = o.NewBusinessCA()
	o.Create(t, o.ca)
	o.look(t, "False/AwaitingApproval")
	return o
}

// look reconciles and compares the CertificateReady condition.
func (o *officers) look(t *testing.T, want string) {
	t.Helper()
	_, _ = controllertest.Reconcile(t, o.Client, o.r, o.ca) // a stall is an error for controller-runtime alone
	if got := controllertest.Reason(o.ca, pkiv1.ConditionCertificateReady); got != want {
		t.Fatalf("CertificateReady is %s, want %s: %s", got, want, controllertest.Message(o.ca, pkiv1.ConditionCertificateReady))
	}
}

// sign creates an Approval that an officer's key signed.
func (o *officers) sign(t *testing.T, name, officer string, decision pkiv1.Decision, change func(*pkiv1.ApprovalSpec)) *pkiv1.Approval {
	t.Helper()
	raw, err := hex.DecodeString(o.ca.Status.RequestDigest)
	if err != nil || len(raw) != 32 {
		t.Fatalf("status.requestDigest %q: %v", o.ca.Status.RequestDigest, err)
	}
	sig, err := o.keys[officer].SignMessage(rand.Reader, registration.OfficerMessage("BusinessCA", o.Namespace, o.ca.Name, [32]byte(raw), registration.Decision(decision)), sm2.DefaultSM2SignerOpts)
	if err != nil {
		t.Fatal(err)
	}
	a := &pkiv1.Approval{ObjectMeta: o.Meta(name), Spec: pkiv1.ApprovalSpec{TargetRef: pkiv1.ApprovalTarget{Kind: "BusinessCA", Name: o.ca.Name},
		RequestDigest: o.ca.Status.RequestDigest, Decision: decision, Signature: &pkiv1.OfficerSignature{Officer: officer, Value: sig}}}
	if change != nil {
		change(&a.Spec)
	}
	o.Create(t, a)
	return a
}

func TestOfficersMustSign(t *testing.T) {
	o := newOfficers(t)
	o.sign(t, "unknown-officer", "stranger", pkiv1.DecisionApprove, nil)
	o.sign(t, "borrowed-name", "stranger", pkiv1.DecisionApprove, func(s *pkiv1.ApprovalSpec) { s.Signature.Officer = "li" })
	o.sign(t, "turned-round", "li", pkiv1.DecisionDeny, func(s *pkiv1.ApprovalSpec) { s.Decision = pkiv1.DecisionApprove })
	o.sign(t, "other-digest", "li", pkiv1.DecisionApprove, func(s *pkiv1.ApprovalSpec) { s.RequestDigest = strings.Repeat("0", 64) })
	first := o.sign(t, "zhang-1", "zhang", pkiv1.DecisionApprove, nil)
	o.sign(t, "zhang-2", "zhang", pkiv1.DecisionApprove, nil)
	o.look(t, "False/AwaitingApproval")
	if m := controllertest.Message(o.ca, pkiv1.ConditionCertificateReady); !strings.HasPrefix(m, "1 of 2 officers") {
		t.Errorf("message %q, want 1 of 2", m)
	}
	for name, want := range map[string]string{"unknown-officer": "False/SignatureInvalid", "borrowed-name": "False/SignatureInvalid",
		"turned-round": "False/SignatureInvalid", "other-digest": "False/DigestMismatch", "zhang-1": "True/Succeeded", "zhang-2": "True/Succeeded"} {
		a := &pkiv1.Approval{}
		if err := o.Client.Get(t.Context(), client.ObjectKey{Namespace: o.Namespace, Name: name}, a); err != nil {
			t.Fatal(err)
		}
		if got := controllertest.Reason(a, pkiv1.ConditionTaken); got != want {
			t.Errorf("Approval %s: Taken is %s, want %s", name, got, want)
		}
	}
	o.Delete(t, first) // the decision was taken in
	o.sign(t, "li-1", "li", pkiv1.DecisionApprove, nil)
	o.look(t, "True/Succeeded")
}

func TestOfficerDeniesForEver(t *testing.T) {
	o := newOfficers(t)
	no := o.sign(t, "li-1", "li", pkiv1.DecisionDeny, nil)
	o.look(t, "False/Denied")
	o.Delete(t, no)
	o.sign(t, "zhang-1", "zhang", pkiv1.DecisionApprove, nil)
	o.sign(t, "li-2", "li", pkiv1.DecisionApprove, nil)
	o.look(t, "False/Denied")
	if len(o.ca.Status.Certificate) > 0 {
		t.Error("a denied CA has a certificate")
	}
}
