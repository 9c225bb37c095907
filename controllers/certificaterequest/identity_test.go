package certificaterequest_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

const (
	secretName = "numbers"
	secretKey  = "insurance"
)

// newIdentified is a reviewed office whose requests have an insurance number,
// and a request whose number stands in a Secret that is not there yet.
func newIdentified(t *testing.T) (*office, *pkiv1.CertificateRequest) {
	t.Helper()
	tier := newReviewed(t)
	p := &pkiv1.CertificateProfile{}
	if err := tier.Client.Get(t.Context(), client.ObjectKey{Namespace: tier.Namespace, Name: profileName}, p); err != nil {
		t.Fatal(err)
	}
	p.Spec.IdentityExtensions = []pkiv1.IdentityExtension{{Name: "insuranceNumber", OID: "1.2.156.10260.4.1.2",
		Encoding: pkiv1.EncodingPrintableString, Presence: pkiv1.AttributeRequired, Pattern: "SB[0-9]+"}}
	tier.Update(t, p)
	req := newRequest(tier, "insured", tier.Request(t, "insured", within))
	req.Spec.Identity = []pkiv1.IdentityValue{{Name: "insuranceNumber", SecretRef: &pkiv1.SecretKeyReference{Name: secretName, Key: secretKey}}}
	tier.Create(t, req)
	return tier, req
}

// identity puts a number into the Secret, in place of what is there.
func (o *office) identity(t *testing.T, number string) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: o.Meta(secretName), Type: pkiv1.IdentitySecretType, Data: map[string][]byte{secretKey: []byte(number)}}
	if err := client.IgnoreNotFound(o.Client.Delete(t.Context(), s.DeepCopy())); err != nil {
		t.Fatal(err)
	}
	o.Create(t, s)
	return s
}

// TestIdentityIsExchanged: people approved one number, and another one must not
// come into the certificate.
func TestIdentityIsExchanged(t *testing.T) {
	for name, after := range map[string]int{"before anybody approved": 0, "after one approved": 1, "after all approved": 2} {
		t.Run(name, func(t *testing.T) {
			tier, req := newIdentified(t)
			tier.identity(t, "SB1")
			tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
			for i, person := range []string{"li", "wang"} {
				if i == after {
					tier.identity(t, "SB2")
				}
				if err := tier.decide(t, req, person, registration.Approve); err != nil {
					t.Fatal(err)
				}
			}
			if after == 2 {
				tier.identity(t, "SB2")
			}
			tier.want(t, req, "2/2, False/Denied, False/Denied")
			if got := controllertest.Message(req, pkiv1.ConditionReady); !strings.Contains(got, "identity values") || !strings.Contains(got, "another name") {
				t.Errorf("message %q does not say what to do", got)
			}
			tier.keepsSecret(t, req, "SB1", "SB2")
			if _, err := tier.Issuer().Find(t.Context(), "CertificateRequest", req.Namespace, req.Name); err == nil {
				t.Error("a certificate was issued")
			}

			// Whoever creates the request again, the first values stay those of its name.
			tier.Delete(t, req)
			again := newRequest(tier, req.Name, req.Spec.Request)
			again.Spec.Identity = req.Spec.Identity
			tier.Create(t, again)
			tier.want(t, again, "2/2, False/Denied, False/Denied")
		})
	}
}

// TestIdentityStays: the Secret may be made anew with what it had, and the
// certificate has that. Later the Secret may go.
func TestIdentityStays(t *testing.T) {
	tier, req := newIdentified(t)
	tier.identity(t, "SB1")
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	s := tier.identity(t, "SB1")
	for _, person := range []string{"li", "wang"} {
		if err := tier.decide(t, req, person, registration.Approve); err != nil {
			t.Fatal(err)
		}
	}
	tier.want(t, req, "2/2, True/Succeeded, True/Succeeded")
	cert, err := pki.ParseCertificatePEM(req.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(cert.Raw), "SB1") {
		t.Error("the certificate does not have the number")
	}
	tier.Delete(t, s)
	tier.Delete(t, req)
	again := newRequest(tier, req.Name, req.Spec.Request)
	again.Spec.Identity = req.Spec.Identity
	tier.Create(t, again)
	tier.want(t, again, ", True/Adopted, True/Succeeded")
}

// keepsSecret looks for the values, their salt and their sum in the object.
func (o *office) keepsSecret(t *testing.T, req *pkiv1.CertificateRequest, values ...string) {
	t.Helper()
	object, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	target, _, err := policy.RequestTarget(req)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := o.store.Open(t.Context(), registration.Opened{Target: target, Applicant: "anybody", At: req.CreationTimestamp.Time})
	if err != nil || len(opened.IdentitySum) == 0 {
		t.Fatalf("the store has a sum of %d bytes: %v", len(opened.IdentitySum), err)
	}
	for _, s := range append(values, hex.EncodeToString(opened.IdentitySalt), hex.EncodeToString(opened.IdentitySum)) {
		if strings.Contains(string(object), s) {
			t.Errorf("the object shows %s", s)
		}
	}
}

// TestSecretOfAnotherType: a PIN must not come into a certificate because a
// request names its Secret.
func TestSecretOfAnotherType(t *testing.T) {
	tier, req := newIdentified(t)
	pin := tier.Secret(t, secretName, secretKey, "SB123456")
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionPolicyPassed); got != "False/ReferenceNotReady" {
		t.Errorf("PolicyPassed: got %s, want False/ReferenceNotReady", got)
	}
	for _, w := range []string{secretName, "kubectl create secret generic", "--type=pki.terrace.dev/identity", "--from-literal=" + secretKey} {
		if got := controllertest.Message(req, pkiv1.ConditionReady); !strings.Contains(got, w) {
			t.Errorf("message %q does not say %q", got, w)
		}
	}
	tier.Delete(t, pin)
	tier.identity(t, "SB1")
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
}
