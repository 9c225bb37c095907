package registrationauthority_test

import (
	"context"
	"strings"
	"testing"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/registrationauthority"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// TestCAStays: an RA revokes by the CA that it names, so that the CA must not
// change under the certificates that it asked for.
func TestCAStays(t *testing.T) {
	ns := controllertest.New(t)
	ra := &pkiv1.RegistrationAuthority{ObjectMeta: ns.Meta("ra"), Spec: pkiv1.RegistrationAuthoritySpec{
		BusinessCARef: pkiv1.LocalObjectReference{Name: "business"}, AllowedProfiles: []string{"device"}, ApprovalPolicy: pkiv1.ApprovalNone,
		AllowedNames: []pkiv1.NameRule{{SubjectBase: "C=CN"}}}}
	ns.Create(t, ra)
	changed := ra.DeepCopy()
	changed.Spec.BusinessCARef.Name = "another"
	err := ns.Client.Update(t.Context(), changed)
	if err == nil {
		t.Fatal("the RA has another CA now")
	}
	for _, w := range []string{"spec.businessCARef", "another CA is another RA", "could no longer be revoked here"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("message %q does not say %q", err, w)
		}
	}
	ra.Spec.AllowedProfiles = []string{"device", "person"}
	ns.Update(t, ra)
	if _, err := controllertest.Reconcile(t, ns.Client, &registrationauthority.Reconciler{Client: ns.Client}, ra); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(ra, pkiv1.ConditionValid); got != "False/ReferenceNotFound" {
		t.Errorf("Valid: got %s, want False/ReferenceNotFound", got)
	}
}
