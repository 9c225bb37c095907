package devicetest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/device"
)

func signatures(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	key := generate(t, d, "signatures")
	pub := public(t, key)
	messages := map[string][]byte{
		"empty":      {},
		"short":      []byte("message digest"),
		"a digest's": make([]byte, sm3.Size),
		"one block":  make([]byte, 64),
		"a CRL's":    make([]byte, 3<<20),
	}
	sign := map[string]func(message []byte) ([]byte, error){
		"Sign":               func(m []byte) ([]byte, error) { return key.Sign(rand.Reader, m, sm2.DefaultSM2SignerOpts) },
		"Sign, own options":  func(m []byte) ([]byte, error) { return key.Sign(rand.Reader, m, sm2.NewSM2SignerOption(true, nil)) },
		"Sign, nil reader":   func(m []byte) ([]byte, error) { return key.Sign(nil, m, sm2.DefaultSM2SignerOpts) },
		"SignMessage":        func(m []byte) ([]byte, error) { return key.SignMessage(rand.Reader, m, nil) },
		"SignMessage, gmsm":  func(m []byte) ([]byte, error) { return key.SignMessage(rand.Reader, m, sm2.DefaultSM2SignerOpts) },
		"crypto.SignMessage": func(m []byte) ([]byte, error) { return crypto.SignMessage(key, nil, m, sm2.DefaultSM2SignerOpts) },
	}
	for messageName, message := range messages {
		for signName, sign := range sign {
			t.Run(signName+"/"+messageName, func(t *testing.T) {
				sig, err := sign(message)
				if err != nil {
					t.Fatal(err)
				}
				if !sm2.VerifyASN1WithSM2(pub, nil, message, sig) {
					t.Fatalf("signature %x does not verify under the default ID", sig)
				}
				if sm2.VerifyASN1WithSM2(pub, nil, append([]byte{1}, message...), sig) {
					t.Fatal("signature verifies over another message")
				}
				if sm2.VerifyASN1WithSM2(pub, []byte("another ID"), message, sig) {
					t.Fatal("signature verifies under another ID")
				}
			})
		}
	}
	first, err1 := key.SignMessage(nil, []byte("m"), nil)
	second, err2 := key.SignMessage(nil, []byte("m"), nil)
	if err1 != nil || err2 != nil || cmp.Equal(first, second) {
		t.Errorf("two signatures of one message are equal or failed: %v, %v", err1, err2)
	}
}

// options: what would sign something else than e = SM3(Z || message) under the
// default ID is refused, not reinterpreted.
func options(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	key := generate(t, d, "options")
	digest := make([]byte, 32)
	for name, opts := range map[string]crypto.SignerOpts{
		"SHA-256":        crypto.SHA256,
		"SHA-1":          crypto.SHA1,
		"SM2, digest":    sm2.NewSM2SignerOption(false, nil),
		"SM2, other ID":  sm2.NewSM2SignerOption(true, []byte("ALICE123@YAHOO.COM")),
		"SM2, nil value": (*sm2.SM2SignerOption)(nil),
	} {
		if _, err := key.Sign(rand.Reader, digest, opts); err == nil {
			t.Errorf("Sign with %s succeeded, want a refusal", name)
		}
		if _, err := key.SignMessage(rand.Reader, digest, opts); err == nil {
			t.Errorf("SignMessage with %s succeeded, want a refusal", name)
		}
	}
	for name, opts := range map[string]crypto.SignerOpts{"no options": nil, "crypto.Hash(0)": crypto.Hash(0)} {
		if _, err := key.Sign(rand.Reader, digest, opts); err == nil {
			t.Errorf("Sign with %s succeeded, want a refusal: digest or message is not said", name)
		}
	}
}

// certificate signs as the issuing code does, through smx509.
func certificate(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	key := generate(t, d, "certificate")
	template := &smx509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Country: []string{"CN"}, CommonName: "device conformance"},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := smx509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatalf("CreateCertificate: %v", err)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		t.Fatalf("self-signed certificate: %v", err)
	}
}
