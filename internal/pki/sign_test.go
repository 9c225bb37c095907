package pki_test

import (
	"crypto"
	"crypto/rand"
	"io"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/pki"
)

// hastySigner leaves the check to the caller and errs some times.
type hastySigner struct {
	*sm2.PrivateKey
	errs  int
	asked int
}

func (s *hastySigner) SignUnverified(message []byte) ([]byte, error) {
	s.asked++
	sig, err := s.PrivateKey.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err == nil && s.asked <= s.errs {
		sig[len(sig)-1] ^= 1
	}
	return sig, err
}

func (s *hastySigner) SignMessage(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic("the signer's own check is not needed")
}

func TestSignVerifiesOnce(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := pki.NewVerifier(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	tbs := []byte{0x30, 0x00}
	for name, c := range map[string]struct {
		errs, asked int
		good        bool
	}{"right at once": {0, 1, true}, "wrong once": {1, 2, true}, "wrong twice": {2, 2, false}} {
		for who, sign := range map[string]func(crypto.MessageSigner) ([]byte, error){
			"Sign":          func(s crypto.MessageSigner) ([]byte, error) { return pki.Sign(s, tbs) },
			"Verifier.Sign": func(s crypto.MessageSigner) ([]byte, error) { return v.Sign(s, tbs) },
		} {
			s := &hastySigner{PrivateKey: key, errs: c.errs}
			der, err := sign(s)
			if (err == nil) != c.good || (der != nil) != c.good || s.asked != c.asked {
				t.Errorf("%s, %s: %d bytes, %v, asked %d times; want good %t after %d", name, who, len(der), err, s.asked, c.good, c.asked)
			}
		}
	}
}
