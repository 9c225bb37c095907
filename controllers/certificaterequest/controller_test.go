package certificaterequest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

const (
	raName      = "ra"
	profileName = "device"
	applicant   = "zhang"
	// within is a subject that the RA may have certified, outside one that it may not.
	within  = "CN=Gauge 1,O=Ministry,C=CN"
	outside = "CN=Gauge 1,O=Somebody Else,C=CN"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// office is a tier with an RA on a Ready BusinessCA, and the RA's database.
type office struct {
	*controllertest.Tier
	store registration.Store
}

func newTier(t *testing.T) (*office, *pkiv1.BusinessCA) {
	t.Helper()
	tier := &office{Tier: controllertest.New(t)}
	tier.store = tier.Registration(t, sqlite.OpenRegistration)
	tier.ReadyIndustryCA(t)
	ca := tier.ReadyBusinessCA(t)
	tier.Create(t, &pkiv1.CertificateProfile{ObjectMeta: tier.Meta(profileName), Spec: pkiv1.CertificateProfileSpec{
		Subject:   []pkiv1.SubjectAttributeRule{{Type: "C", Presence: pkiv1.AttributeFixed, Value: "CN"}, {Type: "O"}, {Type: "CN"}},
		KeyUsages: []pkiv1.KeyUsage{"DigitalSignature"}, Validity: metav1.Duration{Duration: 365 * 24 * time.Hour}}})
	tier.Create(t, &pkiv1.RegistrationAuthority{ObjectMeta: tier.Meta(raName), Spec: pkiv1.RegistrationAuthoritySpec{
		BusinessCARef: pkiv1.LocalObjectReference{Name: ca.Name}, AllowedProfiles: []string{profileName}, ApprovalPolicy: pkiv1.ApprovalNone,
		AllowedNames: []pkiv1.NameRule{{SubjectBase: "O=Ministry,C=CN"}}}})
	return tier, ca
}

func newRequest(tier *office, name string, csr []byte) *pkiv1.CertificateRequest {
	return &pkiv1.CertificateRequest{ObjectMeta: tier.Meta(name), Spec: pkiv1.CertificateRequestSpec{Request: csr, Applicant: &pkiv1.Person{Username: applicant},
		ProfileRef:               pkiv1.LocalObjectReference{Name: profileName},
		RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: raName}}}
}

func reconcileRequest(t *testing.T, tier *office, req *pkiv1.CertificateRequest) (reconcile.Result, error) {
	t.Helper()
	return controllertest.Reconcile(t, tier.Client, &certificaterequest.Reconciler{Client: tier.Client, Issuer: tier.Issuer(), Store: tier.store}, req)
}

func TestIssued(t *testing.T) {
	tier, ca := newTier(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionReady); got != "True/Succeeded" {
		t.Fatalf("Ready: got %s: %s", got, controllertest.Message(req, pkiv1.ConditionReady))
	}
	cert, err := pki.ParseCertificatePEM(req.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseCertificatesPEM(req.Status.Chain, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.VerifyChain(cert, chain, time.Now()); err != nil {
		t.Error(err)
	}
	if want := string(ca.Status.Certificate) + string(ca.Status.Chain); string(req.Status.Chain) != want {
		t.Errorf("chain is not the BusinessCA's certificate and chain:\n%s", cmp.Diff(want, string(req.Status.Chain)))
	}
	if got := string(pki.SerialFromInt(cert.SerialNumber)); got != req.Status.SerialNumber {
		t.Errorf("status.serialNumber: got %s, the certificate has %s", req.Status.SerialNumber, got)
	}
	for _, v := range req.Status.Verdicts {
		if v.Result != pkiv1.VerdictPassed {
			t.Errorf("verdict %s: got %s, want Passed", v.Check, v.Result)
		}
	}

	// Deleted and created again, after a restart, it is the same certificate.
	tier.Delete(t, req)
	tier.Restart(t)
	again := newRequest(tier, req.Name, req.Spec.Request)
	tier.Create(t, again)
	if _, err := reconcileRequest(t, tier, again); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(again, pkiv1.ConditionIssued); got != "True/Adopted" {
		t.Errorf("Issued: got %s, want True/Adopted", got)
	}
	if string(again.Status.Certificate) != string(req.Status.Certificate) || string(again.Status.Chain) != string(req.Status.Chain) {
		t.Error("the adopted certificate or chain is another one")
	}
}

func TestDeniedReservesNoSerial(t *testing.T) {
	tier, _ := newTier(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", outside))
	tier.Create(t, req)
	_, err := reconcileRequest(t, tier, req)
	if !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got error %v, want a terminal one", err)
	}
	got := map[string]string{}
	for _, c := range []string{pkiv1.ConditionPolicyPassed, pkiv1.ConditionApproved, pkiv1.ConditionIssued, pkiv1.ConditionReady, pkiv1.ConditionStalled} {
		got[c] = controllertest.Reason(req, c)
	}
	if diff := cmp.Diff(map[string]string{"PolicyPassed": "False/Denied", "Approved": "Unknown/Progressing", "Issued": "Unknown/Progressing", "Ready": "False/Denied", "Stalled": "True/Denied"}, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	var denied []string
	for _, v := range req.Status.Verdicts {
		if v.Result == pkiv1.VerdictDenied {
			denied = append(denied, v.Check)
			if v.Reason == "" {
				t.Errorf("verdict %s has no reason", v.Check)
			}
		}
	}
	if diff := cmp.Diff([]string{"subjectIsWithinRA"}, denied); diff != "" {
		t.Errorf("checks that denied (-want +got):\n%s", diff)
	}
	if len(req.Status.Certificate) != 0 || req.Status.SerialNumber != "" {
		t.Errorf("status has serial %q and a certificate of %d bytes", req.Status.SerialNumber, len(req.Status.Certificate))
	}
	if r, err := tier.Store.Find(t.Context(), "CertificateRequest", req.Namespace, req.Name); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("the ledger has serial %s, error %v; want nothing reserved", r.Serial, err)
	}

	// Once denied it stays so, although the RA allows it later.
	ra := &pkiv1.RegistrationAuthority{}
	if err := tier.Client.Get(t.Context(), client.ObjectKey{Namespace: tier.Namespace, Name: raName}, ra); err != nil {
		t.Fatal(err)
	}
	ra.Spec.AllowedNames = []pkiv1.NameRule{{SubjectBase: "C=CN"}}
	tier.Update(t, ra)
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Error(err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionReady); got != "False/Denied" {
		t.Errorf("Ready after the RA changed: got %s, want False/Denied", got)
	}
}

func TestSameNameOtherContent(t *testing.T) {
	tier, _ := newTier(t)
	first := newRequest(tier, "gauge-1", tier.Request(t, "first", within))
	tier.Create(t, first)
	if _, err := reconcileRequest(t, tier, first); err != nil {
		t.Fatal(err)
	}
	tier.Delete(t, first)

	second := newRequest(tier, first.Name, tier.Request(t, "second", within))
	tier.Create(t, second)
	if _, err := reconcileRequest(t, tier, second); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got error %v, want a terminal one", err)
	}
	if got := controllertest.Reason(second, pkiv1.ConditionReady); got != "False/IdentityConflict" {
		t.Errorf("Ready: got %s, want False/IdentityConflict", got)
	}
	if got := controllertest.Message(second, pkiv1.ConditionReady); !strings.Contains(got, "new name") {
		t.Errorf("message %q does not say to take a new name", got)
	}
	if len(second.Status.Certificate) != 0 {
		t.Error("status has the certificate of the earlier request")
	}
}

func TestPausedCAWaits(t *testing.T) {
	tier, ca := newTier(t)
	setIssuance(t, tier, ca, pkiv1.IssuancePaused)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	result, err := reconcileRequest(t, tier, req)
	if err != nil || result.RequeueAfter <= 0 {
		t.Errorf("got %v, error %v, want to be looked at again without one", result, err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionIssued); got != "False/IssuancePaused" {
		t.Errorf("Issued: got %s, want False/IssuancePaused", got)
	}

	setIssuance(t, tier, ca, pkiv1.IssuanceEnabled)
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionReady); got != "True/Succeeded" {
		t.Errorf("Ready once enabled: got %s, want True/Succeeded", got)
	}
}

func setIssuance(t *testing.T, tier *office, ca *pkiv1.BusinessCA, mode pkiv1.IssuanceMode) {
	t.Helper()
	ca.Spec.Issuance = mode
	tier.Update(t, ca)
	if _, err := controllertest.Reconcile(t, tier.Client, tier.Business(), ca); err != nil {
		t.Fatal(err)
	}
}

func TestStoreUnavailable(t *testing.T) {
	tier, _ := newTier(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	if err := tier.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := reconcileRequest(t, tier, req); err == nil || errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got error %v, want one that is retried with backoff", err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionReady); got != "False/StoreUnavailable" {
		t.Errorf("Ready: got %s, want False/StoreUnavailable", got)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionReconciling); got != "True/StoreUnavailable" {
		t.Errorf("Reconciling: got %s, want True/StoreUnavailable", got)
	}

	tier.Restart(t)
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionReady); got != "True/Succeeded" {
		t.Errorf("Ready once the store is back: got %s, want True/Succeeded", got)
	}
}
