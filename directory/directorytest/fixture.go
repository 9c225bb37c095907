// Package directorytest proves implementations of directory.Server and makes
// certificates for tests.
package directorytest

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/pki"
)

// CA issues certificates with SM2 keys.
type CA struct {
	// Name in directories.
	Name        string
	Key         *sm2.PrivateKey
	Certificate *smx509.Certificate

	subscriber *sm2.PrivateKey // one for all: keys are not what is tested
}

// NewCA makes a self-signed CA.
func NewCA(t testing.TB, name string) *CA {
	t.Helper()
	ca := &CA{Name: name}
	var err error
	if ca.Key, err = sm2.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if ca.subscriber, err = sm2.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &smx509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Terrace"}, Country: []string{"CN"}},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:     smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign,
		SubjectKeyId: []byte{1, 2, 3, 4},
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, template, &ca.Key.PublicKey, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.Certificate, err = smx509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca
}

// Serial gives test certificates serials like real ones: 20 octets.
func Serial(n int) pki.Serial {
	return pki.Serial(fmt.Sprintf("01%038X", n))
}

// Issue makes a certificate; extensions are added as they are.
func (ca *CA) Issue(t testing.TB, serial pki.Serial, subject pkix.Name, extensions ...pkix.Extension) []byte {
	t.Helper()
	template := &smx509.Certificate{
		SerialNumber: serial.Int(), Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: smx509.KeyUsageDigitalSignature, ExtraExtensions: extensions,
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, ca.Certificate, &ca.subscriber.PublicKey, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Person is the subject of a usual certificate.
func Person(n int) pkix.Name {
	return pkix.Name{Country: []string{"CN"}, Organization: []string{"人力资源和社会保障部"}, CommonName: fmt.Sprintf("张三%d", n)}
}

// Publication of the n-th certificate of a CA in a state.
func (ca *CA) Publication(t testing.TB, n int, state directory.State) directory.Publication {
	t.Helper()
	return directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{
		Serial: Serial(n), State: state, DER: ca.Issue(t, Serial(n), Person(n)),
	}}
}

// Authority is the publication of the CA itself.
func (ca *CA) Authority(crl []byte) directory.Publication {
	return directory.Publication{CA: ca.Name, Authority: &directory.Authority{Certificates: [][]byte{ca.Certificate.Raw}, CRL: crl}}
}

// Extension with a value that need not mean anything.
func Extension(oid asn1.ObjectIdentifier) pkix.Extension {
	return pkix.Extension{Id: oid, Value: []byte{0x13, 0x01, '1'}}
}
