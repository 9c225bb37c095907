package registration

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

func digest() (d [32]byte) {
	for i := range d {
		d[i] = byte(i)
	}
	return d
}

// Officers' signatures are kept: the message of version 1 must not change.
func TestOfficerMessageIsTheOneOfVersion1(t *testing.T) {
	got := OfficerMessage("BusinessCA", "ministry", "province", digest(), Approve)
	want, err := hex.DecodeString("00000013746572726163652f617070726f76616c2f76310000000a427573696e6573734341000000086d696e69737472790000000870726f76696e636500000020000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f00000007417070726f7665")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("message %x, want %x", got, want)
	}
}

func TestVerifyOfficer(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message := OfficerMessage("BusinessCA", "ministry", "province", digest(), Approve)
	sig, err := key.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifyOfficer(&key.PublicKey, message, sig); err != nil {
		t.Error(err)
	}
	changed := digest()
	changed[31] ^= 1
	for name, m := range map[string][]byte{
		"kind":      OfficerMessage("IndustryCA", "ministry", "province", digest(), Approve),
		"namespace": OfficerMessage("BusinessCA", "ministr", "province", digest(), Approve),
		"name":      OfficerMessage("BusinessCA", "ministry", "city", digest(), Approve),
		"border":    OfficerMessage("BusinessCA", "ministryp", "rovince", digest(), Approve),
		"digest":    OfficerMessage("BusinessCA", "ministry", "province", changed, Approve),
		"decision":  OfficerMessage("BusinessCA", "ministry", "province", digest(), Deny),
	} {
		if err := VerifyOfficer(&key.PublicKey, m, sig); !errors.Is(err, ErrOfficerSignature) {
			t.Errorf("another %s: got %v, want %v", name, err, ErrOfficerSignature)
		}
	}
	if err := VerifyOfficer(&other.PublicKey, message, sig); !errors.Is(err, ErrOfficerSignature) {
		t.Errorf("another officer's key: got %v, want %v", err, ErrOfficerSignature)
	}
	for _, bad := range [][]byte{nil, {0x30}, sig[:len(sig)-1]} {
		if err := VerifyOfficer(&key.PublicKey, message, bad); !errors.Is(err, ErrOfficerSignature) {
			t.Errorf("signature %x: got %v, want %v", bad, err, ErrOfficerSignature)
		}
	}
}
