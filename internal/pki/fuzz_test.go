package pki_test

import (
	"bytes"
	"testing"

	"github.com/terrace-pki/terrace/internal/pki"
)

func FuzzParseName(f *testing.F) {
	for _, s := range []string{
		"CN=张三,O=Ministry,C=CN", `CN=\2C\"\+\;\<\>\\\#\=`, "1.2.156.10260.4.1.2= a ,DC=cn", `CN=\ a\ `, "E=a@b.c,SERIALNUMBER=1", "CN=a+O=b", "CN=#00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := pki.ParseName(s)
		if err != nil {
			return
		}
		checkStable(t, n)
		back, err := pki.ParseNameDER(n.DER())
		if err != nil || !back.Equal(n) || back.String() != n.String() {
			t.Errorf("%q: through DER: %q, %v", s, back, err)
		}
	})
}

func FuzzParseNameDER(f *testing.F) {
	for _, s := range []string{
		"3000", "300c 310a 3008 0603550403 130178", "300f 310d 300b 0603550403 1e045f20 4e09",
		"301e 310b 3009 0603550406 1302434e 310f 300d 0603550403 0c06e5bca0e4b889",
		"3014 3112 3010 060a0992268993f22c640119 1602636e", "3016 3114 3008 0603550403 0c0178 3008 060355040a 0c0178",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		n, err := pki.ParseNameDER(der)
		if err != nil {
			return
		}
		if !bytes.Equal(n.DER(), der) {
			t.Fatalf("bytes changed: %x to %x", der, n.DER())
		}
		if !n.IsEmpty() {
			checkStable(t, n)
		}
	})
}

// checkStable: the text form reads back to the same name and the same text.
func checkStable(t *testing.T, n pki.Name) {
	t.Helper()
	if len(n.DER()) > pki.MaxNameDER {
		t.Fatalf("DER has %d bytes", len(n.DER()))
	}
	again, err := pki.ParseName(n.String())
	if err != nil {
		// UTF-8 may be longer than what another string type took.
		if len(n.DER()) > pki.MaxNameDER/2 {
			return
		}
		t.Fatalf("%q does not read back: %v", n, err)
	}
	if again.String() != n.String() || !again.Equal(n) || !again.Within(n) {
		t.Errorf("%q reads back as %q", n, again)
	}
}

func FuzzParseRequest(f *testing.F) {
	good := requestPEM(f, newKey(f))
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("CERTIFICATE"), []byte("NEW CERTIFICATE"), 2))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Add(pki.EncodePEM(pki.PEMRequest, []byte{0x30, 0}))
	r, err := pki.ParseRequest(good)
	if err != nil {
		f.Fatal(err)
	}
	for i := 0; i < len(r.DER); i += 7 { // one byte changed
		der := bytes.Clone(r.DER)
		der[i] ^= 0x81
		f.Add(pki.EncodePEM(pki.PEMRequest, der))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := pki.ParseRequest(in)
		if err != nil {
			return
		}
		if len(r.DER) > pki.MaxRequestDER || r.SubjectAltNames.Len() > pki.MaxSubjectAltNames {
			t.Fatal("a bound was passed")
		}
		again, err := pki.ParseRequest(pki.EncodePEM(pki.PEMRequest, r.DER))
		if err != nil || !again.Subject.Equal(r.Subject) || !bytes.Equal(again.SPKI, r.SPKI) {
			t.Fatalf("does not read back: %v", err)
		}
		// Neither may panic, and possession implies an SM2 key.
		if r.VerifyPossession() == nil && r.IsSM2() != nil {
			t.Error("possession of a key that is not SM2 was proved")
		}
	})
}
