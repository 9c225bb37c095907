package controllertest

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/businessca"
	"github.com/terrace-pki/terrace/controllers/industryca"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Names of the CA objects of a Tier.
const (
	IndustryName = "industry"
	BusinessName = "province"
)

// NewIndustryCA is an IndustryCA without its certificate.
func (tier *Tier) NewIndustryCA() *pkiv1.IndustryCA {
	return &pkiv1.IndustryCA{ObjectMeta: tier.Meta(IndustryName),
		Spec: pkiv1.IndustryCASpec{CACommon: tier.common("CN=Industry CA,O=Ministry,C=CN")}}
}

// NewBusinessCA is a BusinessCA below the IndustryCA.
func (tier *Tier) NewBusinessCA() *pkiv1.BusinessCA {
	return &pkiv1.BusinessCA{ObjectMeta: tier.Meta(BusinessName), Spec: pkiv1.BusinessCASpec{
		CACommon: tier.common("CN=Province CA,O=Ministry,C=CN"), Validity: metav1.Duration{Duration: 10 * 365 * 24 * time.Hour},
		Issuer: pkiv1.BusinessCAIssuer{IndustryCARef: &pkiv1.LocalObjectReference{Name: IndustryName}}}}
}

func (tier *Tier) common(subject string) pkiv1.CACommon {
	return pkiv1.CACommon{Subject: subject, DeviceRef: pkiv1.LocalObjectReference{Name: DeviceName},
		CRL: pkiv1.CRLSpec{Interval: metav1.Duration{Duration: time.Hour}, Overlap: metav1.Duration{Duration: time.Hour}, Shards: 1}}
}

// Industry is the reconciler of the tier's IndustryCA at a time.
func (tier *Tier) Industry(now time.Time) *industryca.Reconciler {
	return &industryca.Reconciler{Client: tier.Client, Authorities: tier.Authorities, TrustLists: tier.TrustLists, Now: func() time.Time { return now }}
}

// Business is the reconciler of the tier's BusinessCA.
func (tier *Tier) Business() *businessca.Reconciler {
	return &businessca.Reconciler{Client: tier.Client, Authorities: tier.Authorities, Now: time.Now}
}

// ReadyIndustryCA creates the IndustryCA and has the root certify it.
func (tier *Tier) ReadyIndustryCA(t testing.TB) *pkiv1.IndustryCA {
	t.Helper()
	ca := tier.NewIndustryCA()
	tier.Create(t, ca)
	if _, err := Reconcile(t, tier.Client, tier.Industry(tier.Now), ca); err != nil {
		t.Fatal(err)
	}
	ca.Spec.RootCertificate = tier.Root.CertificatePEM()
	ca.Spec.Certificate = tier.Certify(t, ca.Status.CertificateSigningRequest)
	tier.Update(t, ca)
	if _, err := Reconcile(t, tier.Client, tier.Industry(tier.Now), ca); err != nil {
		t.Fatal(err)
	}
	if got := Reason(ca, pkiv1.ConditionReady); got != "True/Succeeded" {
		t.Fatalf("IndustryCA is %s: %s", got, Message(ca, pkiv1.ConditionReady))
	}
	return ca
}

// ReadyBusinessCA creates the BusinessCA below a Ready IndustryCA and has it issued.
func (tier *Tier) ReadyBusinessCA(t testing.TB) *pkiv1.BusinessCA {
	t.Helper()
	ca := tier.NewBusinessCA()
	tier.Create(t, ca)
	if _, err := Reconcile(t, tier.Client, tier.Business(), ca); err != nil {
		t.Fatal(err)
	}
	if got := Reason(ca, pkiv1.ConditionReady); got != "True/Succeeded" {
		t.Fatalf("BusinessCA is %s: %s", got, Message(ca, pkiv1.ConditionReady))
	}
	return ca
}

// Certify has the national root certify a signing request.
func (tier *Tier) Certify(t testing.TB, csr []byte) []byte {
	t.Helper()
	cert, err := tier.Root.Certify(csr, tier.Now)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Request is a PEM signing request for subject with a new key of the device.
func (tier *Tier) Request(t testing.TB, label, subject string) []byte {
	t.Helper()
	key, err := tier.Device.GenerateKey(t.Context(), label)
	if err != nil {
		t.Fatal(err)
	}
	name, err := pki.ParseName(subject)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.CreateRequest(key, name)
	if err != nil {
		t.Fatal(err)
	}
	return pki.EncodePEM("CERTIFICATE REQUEST", der)
}
