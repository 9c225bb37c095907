package certificaterevocation_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/controllers/certificaterevocation"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// office is a tier with an RA and a certificate that it asked for.
type office struct {
	*controllertest.Tier
	ca  *pkiv1.BusinessCA
	req *pkiv1.CertificateRequest
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{Tier: controllertest.New(t)}
	o.ReadyIndustryCA(t)
	o.ca = o.ReadyBusinessCA(t)
	o.Create(t, &pkiv1.CertificateProfile{ObjectMeta: o.Meta("device"), Spec: pkiv1.CertificateProfileSpec{
		Subject:   []pkiv1.SubjectAttributeRule{{Type: "C", Presence: pkiv1.AttributeFixed, Value: "CN"}, {Type: "CN"}},
		KeyUsages: []pkiv1.KeyUsage{"DigitalSignature"}, Validity: metav1.Duration{Duration: 365 * 24 * time.Hour}}})
	o.Create(t, o.newRA())
	o.req = o.issue(t, "gauge-1")
	return o
}

func (o *office) newRA() *pkiv1.RegistrationAuthority {
	return &pkiv1.RegistrationAuthority{ObjectMeta: o.Meta("ra"), Spec: pkiv1.RegistrationAuthoritySpec{
		BusinessCARef: pkiv1.LocalObjectReference{Name: o.ca.Name}, AllowedProfiles: []string{"device"}, ApprovalPolicy: pkiv1.ApprovalNone,
		AllowedNames: []pkiv1.NameRule{{SubjectBase: "C=CN"}}}}
}

func (o *office) issue(t *testing.T, name string) *pkiv1.CertificateRequest {
	t.Helper()
	req := &pkiv1.CertificateRequest{ObjectMeta: o.Meta(name), Spec: pkiv1.CertificateRequestSpec{Request: o.Request(t, name, "CN=Gauge,C=CN"),
		ProfileRef: pkiv1.LocalObjectReference{Name: "device"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}}
	o.Create(t, req)
	if _, err := controllertest.Reconcile(t, o.Client, &certificaterequest.Reconciler{Client: o.Client, Issuer: o.Issuer()}, req); err != nil {
		t.Fatal(err)
	}
	if req.Status.SerialNumber == "" {
		t.Fatalf("not issued: %s", controllertest.Message(req, pkiv1.ConditionReady))
	}
	return req
}

// act is what somebody asks for about the office's certificate.
func (o *office) act(name string, action pkiv1.RevocationAction) *pkiv1.CertificateRevocation {
	rev := &pkiv1.CertificateRevocation{ObjectMeta: o.Meta(name), Spec: pkiv1.CertificateRevocationSpec{
		Target:                   pkiv1.RevocationTarget{RequestRef: &pkiv1.LocalObjectReference{Name: o.req.Name}},
		RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"}, Action: action, Requester: &pkiv1.Person{Username: "sun"}}}
	if action == pkiv1.ActionRevoke {
		rev.Spec.Reason = "KeyCompromise"
	}
	return rev
}

func (o *office) reconcile(t *testing.T, rev *pkiv1.CertificateRevocation) error {
	t.Helper()
	_, err := controllertest.Reconcile(t, o.Client, &certificaterevocation.Reconciler{Client: o.Client, Issuer: o.Issuer()}, rev)
	return err
}

// want reconciles and compares "Performed, Published, what the ledger says of the certificate".
func (o *office) want(t *testing.T, rev *pkiv1.CertificateRevocation, want string, says ...string) {
	t.Helper()
	if err := o.reconcile(t, rev); err != nil && !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s, %s, %s", controllertest.Reason(rev, pkiv1.ConditionPerformed), controllertest.Reason(rev, pkiv1.ConditionPublished), o.state(t, o.req.Status.SerialNumber))
	if got != want {
		t.Errorf("%s: got %s, want %s: %s", rev.Name, got, want, controllertest.Message(rev, pkiv1.ConditionReady))
	}
	for _, w := range says {
		if got := controllertest.Message(rev, pkiv1.ConditionReady); !strings.Contains(got, w) {
			t.Errorf("message %q does not say %q", got, w)
		}
	}
}

// state of a certificate in the ledger.
func (o *office) state(t *testing.T, serial string) string {
	t.Helper()
	found, err := o.Store.FindSerial(t.Context(), pki.Serial(serial))
	if err != nil || len(found) != 1 {
		t.Fatalf("serial %s: %d records, %v", serial, len(found), err)
	}
	if r := found[0].Revocation; r != nil {
		return r.Reason.String()
	}
	return "good"
}

func TestHoldReleaseRevoke(t *testing.T) {
	o := newOffice(t)
	for _, s := range []struct {
		name   string
		action pkiv1.RevocationAction
		want   string
		says   []string
	}{
		{"r0", pkiv1.ActionRelease, "False/Refused, Unknown/Progressing, good", []string{"NotOnHold", "another CertificateRevocation"}},
		{"h1", pkiv1.ActionHold, "True/Succeeded, True/Scheduled, certificateHold", nil},
		{"h2", pkiv1.ActionHold, "False/Refused, Unknown/Progressing, certificateHold", []string{"AlreadyOnHold"}},
		{"r1", pkiv1.ActionRelease, "True/Succeeded, True/Scheduled, good", nil},
		{"v1", pkiv1.ActionRevoke, "True/Succeeded, True/Scheduled, keyCompromise", nil},
		{"r2", pkiv1.ActionRelease, "False/Refused, Unknown/Progressing, keyCompromise", []string{"AlreadyRevoked"}},
	} {
		rev := o.act(s.name, s.action)
		o.Create(t, rev)
		o.want(t, rev, s.want, s.says...)
		if rev.Status.SerialNumber != o.req.Status.SerialNumber || rev.Status.Issuer != "BusinessCA/"+o.Namespace+"/"+o.ca.Name || rev.Status.PerformedAt == nil {
			t.Errorf("%s: status is %+v", s.name, rev.Status)
		}
	}
}

// TestOnceEver: an act, and a refusal too, is shown again and never done again,
// however often Git applies it, and with everything else gone.
func TestOnceEver(t *testing.T) {
	o := newOffice(t)
	hold := o.act("hold", pkiv1.ActionHold)
	o.Create(t, hold)
	o.want(t, hold, "True/Succeeded, True/Scheduled, certificateHold")
	at := hold.Status.PerformedAt
	early := o.act("early", pkiv1.ActionHold)
	o.Create(t, early)
	o.want(t, early, "False/Refused, Unknown/Progressing, certificateHold")
	release := o.act("release", pkiv1.ActionRelease)
	o.Create(t, release)
	o.want(t, release, "True/Succeeded, True/Scheduled, good")

	// All objects gone and a new process: the certificate is good and stays so.
	o.Wipe(t)
	o.Restart(t)
	o.Create(t, o.newRA())
	hold, early = o.act("hold", pkiv1.ActionHold), o.act("early", pkiv1.ActionHold)
	hold.Spec.Requester.Username = "system:serviceaccount:flux-system:flux" // who asks again changes nothing
	o.Create(t, hold)
	o.Create(t, early)
	o.want(t, hold, "True/Adopted, True/Scheduled, good")
	o.want(t, early, "False/Refused, Unknown/Progressing, good", "AlreadyOnHold")
	if !hold.Status.PerformedAt.Equal(at) {
		t.Errorf("performedAt: got %v, the first time it was %v", hold.Status.PerformedAt, at)
	}

	// Another act under the name is refused.
	o.Delete(t, hold)
	other := o.act("hold", pkiv1.ActionRevoke)
	o.Create(t, other)
	o.want(t, other, "False/IdentityConflict, Unknown/Progressing, good", "metadata.name", "new name")
}

func TestTargets(t *testing.T) {
	o := newOffice(t)
	bySerial := func(serial string) *pkiv1.CertificateRevocation {
		rev := o.act("serial-"+serial, pkiv1.ActionHold)
		rev.Name = strings.ToLower(rev.Name)
		rev.Spec.Target = pkiv1.RevocationTarget{SerialNumber: serial}
		return rev
	}
	rev := bySerial("4a11")
	o.Create(t, rev)
	o.want(t, rev, "False/ReferenceNotFound, Unknown/Progressing, good", "spec.target.serialNumber", "compare")
	rev = bySerial(string(pki.SerialFromInt(o.caCertificate(t).SerialNumber))) // a CA's own is none of an RA's business
	o.Create(t, rev)
	o.want(t, rev, "False/ReferenceNotFound, Unknown/Progressing, good")
	rev = bySerial(strings.ToLower(o.req.Status.SerialNumber))
	o.Create(t, rev)
	o.want(t, rev, "True/Succeeded, True/Scheduled, certificateHold")
	rev = o.act("by-request", pkiv1.ActionRelease)
	o.Delete(t, o.req) // the ledger knows what the request was
	o.Create(t, rev)
	o.want(t, rev, "True/Succeeded, True/Scheduled, good")

	// A request that is not issued yet, and an RA that is not there yet.
	rev = o.act("early", pkiv1.ActionHold)
	rev.Spec.Target.RequestRef.Name = "later"
	o.Create(t, rev)
	o.want(t, rev, "False/ReferenceNotFound, Unknown/Progressing, good", "spec.target")
	rev = o.act("no-ra", pkiv1.ActionHold)
	rev.Spec.RegistrationAuthorityRef.Name = "nobody"
	o.Create(t, rev)
	o.want(t, rev, "False/ReferenceNotFound, Unknown/Progressing, good", "nobody")
	// Admission did not say who asks.
	rev = o.act("nobody", pkiv1.ActionHold)
	rev.Spec.Requester = nil
	o.Create(t, rev)
	o.want(t, rev, "False/InvalidSpec, Unknown/Progressing, good", "spec.requester")
}

func (o *office) caCertificate(t *testing.T) *smx509.Certificate {
	t.Helper()
	cert, err := pki.ParseCertificatePEM(o.ca.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCAIsRevoked(t *testing.T) {
	o := newOffice(t)
	rev := o.act("ca", pkiv1.ActionRevoke)
	rev.Spec.Target = pkiv1.RevocationTarget{CertificateAuthorityRef: &pkiv1.LocalObjectReference{Name: o.ca.Name}}
	rev.Spec.RegistrationAuthorityRef, rev.Spec.Reason, rev.Spec.Publish = nil, "CACompromise", pkiv1.PublishImmediate
	o.Create(t, rev)
	o.want(t, rev, "True/Succeeded, True/Succeeded, good")
	serial := string(pki.SerialFromInt(o.caCertificate(t).SerialNumber))
	if rev.Status.SerialNumber != serial || o.state(t, serial) != "cACompromise" {
		t.Errorf("serial %s is %s, want %s revoked", rev.Status.SerialNumber, o.state(t, serial), serial)
	}
	if want := "IndustryCA/" + o.Namespace + "/" + controllertest.IndustryName; rev.Status.Issuer != want {
		t.Errorf("issuer: got %s, want %s", rev.Status.Issuer, want)
	}
}

// TestCAIsNotThere: after a loss Git applies the act before, or without, the CA.
func TestCAIsNotThere(t *testing.T) {
	o := newOffice(t)
	rev := o.act("ca", pkiv1.ActionRevoke)
	rev.Spec.Target = pkiv1.RevocationTarget{CertificateAuthorityRef: &pkiv1.LocalObjectReference{Name: o.ca.Name}}
	rev.Spec.RegistrationAuthorityRef, rev.Spec.Reason = nil, "CACompromise"
	never := rev.DeepCopy()
	never.Name, never.Spec.Target.CertificateAuthorityRef.Name = "never", "nobody"
	o.Create(t, never)
	o.want(t, never, "False/ReferenceNotFound, Unknown/Progressing, good", "issued no certificate")
	o.Create(t, rev)
	o.want(t, rev, "True/Succeeded, True/Scheduled, good")
	at := rev.Status.PerformedAt
	o.Wipe(t)
	o.Restart(t)
	rev = o.act("ca", pkiv1.ActionRevoke)
	rev.Spec.Target = pkiv1.RevocationTarget{CertificateAuthorityRef: &pkiv1.LocalObjectReference{Name: o.ca.Name}}
	rev.Spec.RegistrationAuthorityRef, rev.Spec.Reason = nil, "CACompromise"
	o.Create(t, rev)
	o.want(t, rev, "True/Adopted, True/Scheduled, good")
	if !rev.Status.PerformedAt.Equal(at) {
		t.Errorf("performed at %v, the first time %v", rev.Status.PerformedAt, at)
	}
}

func TestPublishedAtOnce(t *testing.T) {
	o := newOffice(t)
	rev := o.act("now", pkiv1.ActionRevoke)
	rev.Spec.Publish = pkiv1.PublishImmediate
	o.Create(t, rev)
	o.want(t, rev, "True/Succeeded, True/Succeeded, keyCompromise")
	found, err := o.Store.FindSerial(t.Context(), pki.Serial(o.req.Status.SerialNumber))
	if err != nil {
		t.Fatal(err)
	}
	list, err := o.Store.CurrentCRL(t.Context(), found[0].Issuer, found[0].Shard)
	if err != nil {
		t.Fatal(err)
	}
	if list.Number != rev.Status.CRLNumber {
		t.Errorf("crlNumber: got %d, the current list has %d", rev.Status.CRLNumber, list.Number)
	}
	parsed, err := smx509.ParseRevocationList(list.DER)
	if err != nil {
		t.Fatal(err)
	}
	shown := false
	for _, e := range parsed.RevokedCertificateEntries {
		shown = shown || string(pki.SerialFromInt(e.SerialNumber)) == o.req.Status.SerialNumber
	}
	if !shown {
		t.Error("the list does not show the certificate")
	}

	// Created again it shows the same list: nothing is signed again.
	o.Delete(t, rev)
	again := o.act("now", pkiv1.ActionRevoke)
	again.Spec.Publish = pkiv1.PublishImmediate
	o.Create(t, again)
	o.want(t, again, "True/Adopted, True/Succeeded, keyCompromise")
	if again.Status.CRLNumber != rev.Status.CRLNumber {
		t.Errorf("crlNumber: got %d when created again, before %d", again.Status.CRLNumber, rev.Status.CRLNumber)
	}
}

// deaf is a CA whose answers are lost. With done, it did what was asked.
type deaf struct {
	registration.Issuer
	done bool
}

func (d deaf) Perform(ctx context.Context, act registration.Act) (authority.Performed, error) {
	if d.done {
		if _, err := d.Issuer.Perform(ctx, act); err != nil {
			return authority.Performed{}, err
		}
	}
	return authority.Performed{}, fmt.Errorf("perform: %w", registration.ErrIssuerUnavailable)
}

func TestAnswerIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		done bool
		want string
	}{
		"and nothing was done": {false, "True/Succeeded, True/Scheduled, keyCompromise"},
		"but it was done":      {true, "True/Adopted, True/Scheduled, keyCompromise"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			rev := o.act("a", pkiv1.ActionRevoke)
			o.Create(t, rev)
			_, err := controllertest.Reconcile(t, o.Client, &certificaterevocation.Reconciler{Client: o.Client, Issuer: deaf{o.Issuer(), tc.done}}, rev)
			if !errors.Is(err, registration.ErrIssuerUnavailable) || errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("got error %v, want one that is retried with backoff", err)
			}
			if got := controllertest.Reason(rev, pkiv1.ConditionPerformed); got != "False/IssuerUnavailable" {
				t.Errorf("Performed: got %s, want False/IssuerUnavailable", got)
			}
			o.want(t, rev, tc.want)
		})
	}
}
