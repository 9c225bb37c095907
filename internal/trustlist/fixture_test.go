package trustlist

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
)

// made is when the lists of these tests are made.
var made = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

var oidSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 3, 1}

// entity is a key with its certificate.
type entity struct {
	key  *sm2.PrivateKey
	cert *smx509.Certificate
}

func caTemplate() smx509.Certificate {
	return smx509.Certificate{IsCA: true, MaxPathLen: -1, KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign}
}

func signerTemplate() smx509.Certificate {
	return smx509.Certificate{KeyUsage: smx509.KeyUsageDigitalSignature, UnknownExtKeyUsage: []asn1.ObjectIdentifier{oidSigning}}
}

// issue makes a certificate for a new key; a nil issuer makes it self-signed.
func issue(t testing.TB, issuer *entity, name string, tmpl smx509.Certificate) entity {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pki.MarshalSPKI(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber, tmpl.SubjectKeyId = serial, pki.KeyID(spki)
	tmpl.Subject = pkix.Name{Country: []string{"CN"}, Organization: []string{"测试"}, CommonName: name}
	if tmpl.NotAfter.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = made.AddDate(-1, 0, 0), made.AddDate(20, 0, 0)
	}
	tmpl.BasicConstraintsValid = true
	parent, signer := &tmpl, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := smx509.CreateCertificate(rand.Reader, &tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return entity{key, cert}
}

// tree is a sector: national root, industry CA, two business CAs, the signer.
type tree struct{ root, industry, one, two, signer entity }

func newTree(t testing.TB) tree {
	t.Helper()
	root := issue(t, nil, "Root", caTemplate())
	industry := issue(t, &root, "Industry", caTemplate())
	return tree{root, industry, issue(t, &industry, "One", caTemplate()), issue(t, &industry, "Two", caTemplate()),
		issue(t, &industry, "Trust list", signerTemplate())}
}

func (tr tree) list() List {
	return List{Name: "industryca-ministry-g1", Sequence: made.UnixNano(), ThisUpdate: made, NextUpdate: made.Add(48 * time.Hour),
		Certificates: []*smx509.Certificate{tr.root.cert, tr.industry.cert, tr.one.cert, tr.two.cert}}
}

func (tr tree) sign(t testing.TB, l List, form Form) []byte {
	t.Helper()
	der, err := Sign(tr.signer.key, tr.signer.cert, l, form)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
