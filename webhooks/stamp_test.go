package webhooks

import (
	"context"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// TestPersonIsLookedAtAgain: what the mutating webhook wrote may have been
// changed after it, or the webhook may not be installed.
func TestPersonIsLookedAtAgain(t *testing.T) {
	ctx := admission.NewContextWithRequest(context.Background(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UserInfo: authenticationv1.UserInfo{Username: "li"}}})
	for name, tc := range map[string]struct {
		person *pkiv1.Person
		want   string
	}{
		"nobody":       {nil, "MutatingWebhookConfiguration"},
		"another user": {&pkiv1.Person{Username: "wang"}, `is not the authenticated user "li"`},
	} {
		t.Run(name, func(t *testing.T) {
			errs := map[string]error{}
			_, errs["spec.applicant"] = requestValidator{}.ValidateCreate(ctx, &pkiv1.CertificateRequest{Spec: pkiv1.CertificateRequestSpec{Applicant: tc.person}})
			_, errs["spec.approver"] = approvalValidator{}.ValidateCreate(ctx, &pkiv1.Approval{Spec: pkiv1.ApprovalSpec{Approver: tc.person}})
			_, errs["spec.requester"] = revocationValidator{}.ValidateCreate(ctx, &pkiv1.CertificateRevocation{Spec: pkiv1.CertificateRevocationSpec{Requester: tc.person}})
			for field, err := range errs {
				if err == nil || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: got %v, want a refusal that says %q", field, err, tc.want)
				}
			}
		})
	}
}
