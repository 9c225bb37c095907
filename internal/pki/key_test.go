package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"crypto"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func TestSPKI(t *testing.T) {
	key := newKey(t)
	spki, err := pki.MarshalSPKI(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := pki.ParseSM2SPKI(spki)
	if err != nil || !pub.Equal(&key.PublicKey) {
		t.Fatalf("got %v", err)
	}
	sum := sha1.Sum(spki[len(spki)-65:])
	if diff := cmp.Diff(sum[:], pki.KeyID(spki)); diff != "" {
		t.Errorf("KeyID (-want +got):\n%s", diff)
	}
	for n := range spki {
		if _, err := pki.ParseSM2SPKI(spki[:n]); err == nil || pki.KeyID(spki[:n]) != nil {
			t.Fatalf("the first %d bytes were taken", n)
		}
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for desc, pub := range map[string]*ecdsa.PublicKey{
		"nil": nil, "empty": {}, "P-256": &p256.PublicKey,
		"off the curve": {Curve: sm2.P256(), X: big.NewInt(1), Y: big.NewInt(1)},
	} {
		if _, err := pki.MarshalSPKI(pub); err == nil {
			t.Errorf("%s: was marshalled", desc)
		}
	}
}

// liar signs with another key than it shows.
type liar struct {
	*sm2.PrivateKey
	err error
}

func (l liar) SignMessage(random io.Reader, _ []byte, opts crypto.SignerOpts) ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	return l.PrivateKey.SignMessage(random, []byte("something else"), opts)
}

func TestSignVerifies(t *testing.T) {
	gone := errors.New("device is gone")
	if _, err := pki.Sign(liar{newKey(t), nil}, []byte{0x30, 0}); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("got %v", err)
	}
	if _, err := pki.Sign(liar{newKey(t), gone}, []byte{0x30, 0}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestKeyUsage(t *testing.T) {
	tests := map[string]struct {
		usage pki.KeyUsage
		bits  []byte
	}{
		"signing":    {pki.KeyUsagesSigning, []byte{6, 0xc0}},
		"encryption": {pki.KeyUsagesEncryption, []byte{3, 0x38}},
		"CA":         {pki.KeyUsagesCA, []byte{1, 0x06}},
		"one":        {pki.KeyUsageDigitalSignature, []byte{7, 0x80}},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			if diff := cmp.Diff(tt.bits, tt.usage.BitString()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			back, err := pki.ParseKeyUsageBits(tt.bits)
			if err != nil || back != tt.usage {
				t.Errorf("got %v, %v", back, err)
			}
			named, err := pki.ParseKeyUsage(strings.Split(tt.usage.String(), ",")...)
			if err != nil || named != tt.usage {
				t.Errorf("by name: got %v, %v", named, err)
			}
		})
	}
}

func TestAddTime(t *testing.T) {
	tests := map[string]struct {
		at   time.Time
		tag  cbasn1.Tag
		want string
	}{
		"last of UTCTime": {time.Date(2049, 12, 31, 23, 59, 59, 999, time.UTC), cbasn1.UTCTime, "491231235959Z"},
		"first after it":  {time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), cbasn1.GeneralizedTime, "20500101000000Z"},
		"another zone":    {time.Date(2050, 1, 1, 7, 0, 0, 0, time.FixedZone("CST", 8*3600)), cbasn1.UTCTime, "491231230000Z"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			var b cryptobyte.Builder
			pki.AddTime(&b, tt.at)
			in := cryptobyte.String(b.BytesOrPanic())
			var got cryptobyte.String
			if !in.ReadASN1(&got, tt.tag) || string(got) != tt.want {
				t.Errorf("got %x", b.BytesOrPanic())
			}
		})
	}
}
