package device_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/device"
)

func TestSignerVerifies(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := func(digest []byte) ([]byte, error) { return sm2.SignASN1(rand.Reader, key, digest, nil) }
	flipped := func(digest []byte) ([]byte, error) {
		sig, err := good(digest)
		if err == nil {
			sig[len(sig)-1] ^= 1
		}
		return sig, err
	}
	empty := func([]byte) ([]byte, error) { return nil, nil }
	errDevice := errors.New("device says no")
	failing := func([]byte) ([]byte, error) { return nil, errDevice }
	type answers []func(digest []byte) ([]byte, error)
	for name, tc := range map[string]struct {
		answers answers
		want    error
	}{
		"good":           {answers{good}, nil},
		"bad once":       {answers{flipped, good}, nil},
		"bad twice":      {answers{flipped, flipped, good}, device.ErrBadSignature},
		"nothing twice":  {answers{empty, empty, good}, device.ErrBadSignature},
		"error":          {answers{failing, good}, errDevice},
		"bad then error": {answers{flipped, failing, good}, errDevice},
	} {
		t.Run(name, func(t *testing.T) {
			message := []byte("message")
			signer, err := device.NewSigner("ca", &key.PublicKey, func(digest, got []byte) ([]byte, error) {
				if string(got) != string(message) {
					t.Errorf("the device was given message %q, want %q", got, message)
				}
				answer := tc.answers[0]
				tc.answers = tc.answers[1:]
				return answer(digest)
			})
			if err != nil {
				t.Fatal(err)
			}
			sig, err := signer.SignMessage(nil, message, nil)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("SignMessage: %v, want %v", err, tc.want)
			}
			if err != nil && sig != nil {
				t.Errorf("a signature came with the error: %x", sig)
			}
			if err == nil && !sm2.VerifyASN1WithSM2(&key.PublicKey, nil, message, sig) {
				t.Error("the signature does not verify")
			}
		})
	}
}

func TestNewSignerRefusesOtherCurves(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := device.NewSigner("ca", &key.PublicKey, nil); err == nil {
		t.Error("NewSigner took a NIST P-256 key")
	}
}
