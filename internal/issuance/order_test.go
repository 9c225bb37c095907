package issuance_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixedKey is a key whose private number is small, for golden files.
func fixedKey(tb testing.TB, d int64) *sm2.PrivateKey {
	tb.Helper()
	key, err := sm2.NewPrivateKeyFromInt(big.NewInt(d))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newKey(tb testing.TB) *sm2.PrivateKey {
	tb.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func name(tb testing.TB, s string) pki.Name {
	tb.Helper()
	n, err := pki.ParseName(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// issue prepares and issues; signer may be the subject of a root.
func issue(tb testing.TB, signer *sm2.PrivateKey, o issuance.Order) *smx509.Certificate {
	tb.Helper()
	token, err := issuance.Prepare(o)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := issuance.Issue(signer, token)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func root(tb testing.TB, key *sm2.PrivateKey) *smx509.Certificate {
	return issue(tb, key, rootOrder(tb, &key.PublicKey))
}

func rootOrder(tb testing.TB, pub *ecdsa.PublicKey) issuance.Order {
	return issuance.Order{
		Profile: pki.CAProfile(1, 20*365*24*time.Hour, 0), Subject: name(tb, "CN=行业根CA,O=Ministry,C=CN"),
		PublicKey: pub, Serial: "01AA", Now: now,
	}
}

func caOrder(tb testing.TB, issuer *smx509.Certificate, pub *ecdsa.PublicKey) issuance.Order {
	return issuance.Order{
		Profile: pki.CAProfile(0, 10*365*24*time.Hour, 0), Subject: name(tb, "CN=业务CA,O=Ministry,C=CN"),
		PublicKey: pub, Serial: "02BB", Issuer: issuer, Now: now,
		IssuerURLs: pki.URLs{CRL: []string{"http://crl.example/arl.crl"}},
	}
}

func signingProfile() pki.Profile {
	return pki.Profile{
		Name: "signing",
		Subject: []pki.SubjectRule{
			{Type: "C", Presence: pki.Fixed, Value: "CN"},
			{Type: "O", Presence: pki.Required},
			{Type: "CN", Presence: pki.Required},
		},
		KeyUsage: pki.KeyUsagesSigning, ExtKeyUsage: []string{"1.3.6.1.5.5.7.3.2"},
		Validity: 365 * 24 * time.Hour, Backdate: 5 * time.Minute,
		SANTypes: []pki.SANType{pki.SANDNS, pki.SANEmail},
		IdentityExtensions: []pki.IdentityExtension{
			{Name: "residentCard", OID: "1.2.156.10260.4.1.1", Encoding: pki.EncodingResidentCardChoice0},
			{Name: "insuranceNumber", OID: "1.2.156.10260.4.1.2", Encoding: pki.EncodingPrintableString, Required: true},
		},
	}
}

func subscriberOrder(tb testing.TB, issuer *smx509.Certificate, pub *ecdsa.PublicKey) issuance.Order {
	return issuance.Order{
		Profile: signingProfile(), Subject: name(tb, "CN=张三,O=Ministry"), PublicKey: pub,
		SubjectAltNames: pki.SubjectAltNames{Email: []string{"zhang@example.cn"}},
		Identity:        map[string]string{"residentCard": "110101199003070000", "insuranceNumber": "A123456"},
		Serial:          "01020304050607080910", Issuer: issuer, Now: now,
		IssuerURLs: pki.URLs{
			CRL:       []string{"http://crl.example/1.crl"},
			OCSP:      []string{"http://ocsp.example/"},
			CAIssuers: []string{"http://ca.example/ca.cer"},
		},
	}
}

// chain is a root, a business CA under it and their keys.
func chain(tb testing.TB) (rootCert, caCert *smx509.Certificate, caKey *sm2.PrivateKey) {
	tb.Helper()
	rootKey, caKey := newKey(tb), newKey(tb)
	rootCert = root(tb, rootKey)
	caCert = issue(tb, rootKey, caOrder(tb, rootCert, &caKey.PublicKey))
	return rootCert, caCert, caKey
}
