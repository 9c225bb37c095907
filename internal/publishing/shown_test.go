package publishing

import (
	"crypto/rand"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
)

// A directory shows what was recovered as it showed it before, unless it is a responder's.
func TestShown(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(usages ...smx509.ExtKeyUsage) []byte {
		template := &smx509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: usages, SignatureAlgorithm: smx509.SM2WithSM3}
		der, err := smx509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for name, c := range map[string]struct {
		kind    string
		state   authority.State
		content []byte
		want    bool
	}{
		"request":                   {"CertificateRequest", authority.StateIssued, certificate(), true},
		"CA":                        {"BusinessCA", authority.StateIssued, certificate(), true},
		"responder":                 {authority.KindOCSPResponder, authority.StateIssued, certificate(), false},
		"recovered":                 {authority.KindRecovered, authority.StateIssued, certificate(), true},
		"recovered responder":       {authority.KindRecovered, authority.StateIssued, certificate(smx509.ExtKeyUsageOCSPSigning), false},
		"recovered without content": {authority.KindRecovered, authority.StateIssued, nil, false},
		"archived":                  {"CertificateRequest", authority.StateIssued, nil, false},
		"abandoned":                 {"CertificateRequest", authority.StateAbandoned, nil, false},
	} {
		if _, got := publicationOf(&authority.Record{Identity: authority.Identity{Kind: c.kind}, State: c.state, Certificate: c.content}); got != c.want {
			t.Errorf("%s: shown %t, want %t", name, got, c.want)
		}
	}
}
