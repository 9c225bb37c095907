package sdf

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/device"
)

var forms = map[string]Form{
	"512, leading":  {512, LeadingPadding, SM2SignGBT33560},
	"512, trailing": {512, TrailingPadding, SM2SignGBT33560},
	"256":           {256, LeadingPadding, SM2SignEarly},
}

func TestPublicKey(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, form := range forms {
		structure := form.publicKey(&key.PublicKey)
		got, err := form.parsePublicKey(structure)
		if err != nil || !got.Equal(&key.PublicKey) {
			t.Errorf("%s: %v, or another key", name, err)
		}
		structure[0] = 1 // 257 or 1 bits
		if _, err := form.parsePublicKey(structure); err == nil {
			t.Errorf("%s: a key of another size was taken", name)
		}
		if _, err := form.parsePublicKey(make([]byte, structBytes)); !errors.Is(err, errEmptyKey) {
			t.Errorf("%s: zeros: %v, want errEmptyKey", name, err)
		}
	}
}

// TestSignatureDER: fields as a device writes them, whatever stands in the padding.
func TestSignatureDER(t *testing.T) {
	r, s := bytes.Repeat([]byte{0x11}, 32), append([]byte{0, 0x80}, bytes.Repeat([]byte{0x22}, 30)...)
	pad := bytes.Repeat([]byte{0xee}, 32)
	want := "3044" + "0220" + hex.EncodeToString(r) + "0220" + hex.EncodeToString(s) // s needs its zero: its next bit is 1
	for name, structure := range map[string][]byte{
		"512, leading":  bytes.Join([][]byte{pad, r, pad, s}, nil),
		"512, trailing": bytes.Join([][]byte{r, pad, s, pad}, nil),
		"256":           bytes.Join([][]byte{r, s}, nil),
	} {
		der, err := forms[name].signatureDER(append(structure, make([]byte, structBytes-len(structure))...))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, hex.EncodeToString(der)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestInfo(t *testing.T) {
	structure := make([]byte, infoBytes)
	copy(structure, "A maker of 40 bytes, none left for NUL..")
	copy(structure[40:], " SJK1238 \x00left")
	copy(structure[56:], "2026\n\xff0001     ")
	want := device.Info{Label: "SJK1238", SerialNumber: "2026??0001", Model: "A maker of 40 bytes, none left for NUL.."}
	if diff := cmp.Diff(want, parseInfo(structure)); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
}

func TestCode(t *testing.T) {
	for code, want := range map[Code]string{codeHardFail: "SDR_HARDFAIL (0x01000004)", 0x00fa3001: "0x00fa3001 (see the maker's list of errors)"} {
		if got := code.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for name, tc := range map[string]struct {
		code   Code
		proven bool
		want   bool
	}{
		"no right":                   {codeKeyRight, true, true},
		"maker's own, first try":     {0x00fa3001, false, true},
		"maker's own, after success": {0x00fa3001, true, false},
		"device away":                {codeCommFail, false, false},
		"no key":                     {codeKeyNotExist, false, false},
	} {
		if got := refusesPassword(tc.code, tc.proven); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// FuzzStructures: whatever a library writes, parsing neither panics nor returns a
// key off the curve.
func FuzzStructures(f *testing.F) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	for _, form := range forms {
		f.Add(form.publicKey(&key.PublicKey))
	}
	f.Add(bytes.Repeat([]byte{0xff}, structBytes))
	f.Fuzz(func(t *testing.T, written []byte) {
		structure := make([]byte, structBytes)
		copy(structure, written)
		for name, form := range forms {
			if pub, err := form.parsePublicKey(structure); err == nil && !sm2.IsSM2PublicKey(pub) {
				t.Errorf("%s: a key that is none", name)
			}
			if _, err := form.signatureDER(structure); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if info := parseInfo(structure[:infoBytes]); len(info.Label) > 64 || len(info.SerialNumber) > 64 || len(info.Model) > 64 {
			t.Errorf("info is too long: %+v", info)
		}
	})
}
