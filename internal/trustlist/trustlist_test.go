package trustlist

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/cryptobyte"
)

func TestWhatIsSignedIsReadAndVerified(t *testing.T) {
	tr := newTree(t)
	for _, form := range Forms {
		want := tr.list()
		s, err := Parse(tr.sign(t, want, form))
		if err != nil {
			t.Fatal(form, err)
		}
		if err := s.Verify(tr.root.cert, made.Add(time.Hour), want.Sequence); err != nil {
			t.Error(form, err)
		}
		slices.SortFunc(want.Certificates, func(a, b *smx509.Certificate) int {
			x, y := Identify(a), Identify(b)
			return bytes.Compare(x[:], y[:])
		})
		equal := cmp.Comparer(func(a, b *smx509.Certificate) bool { return a.Equal(b) })
		if diff := cmp.Diff(want, s.List, equal); diff != "" {
			t.Errorf("form %d (-want +got):\n%s", form, diff)
		}
		if s.Form != form || !s.Signer.Equal(tr.signer.cert) {
			t.Errorf("form %d of %s, want %d of %s", s.Form, s.Signer.Subject, form, tr.signer.cert.Subject)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	tr := newTree(t)
	otherRoot := issue(t, nil, "Root", caTemplate())
	imposter := issue(t, &otherRoot, "Industry", caTemplate())
	short := signerTemplate()
	short.NotBefore, short.NotAfter = made.Add(-time.Hour), made.Add(time.Hour)
	cases := map[string]struct {
		change func(*tree)
		at     time.Time
		seen   int64
		want   error
		say    string
	}{
		"current":                    {},
		"the same again":             {seen: made.UnixNano()},
		"older than seen":            {seen: made.UnixNano() + 1, want: ErrOlder, say: "was seen"},
		"ran out":                    {at: made.Add(49 * time.Hour), want: ErrTime, say: "2026-03-03T08:00:00Z"},
		"not begun":                  {at: made.Add(-time.Minute), want: ErrTime, say: "clock"},
		"signer's certificate ended": {change: func(tr *tree) { tr.signer = issue(t, &tr.industry, "Short", short) }, at: made.Add(2 * time.Hour), want: ErrSigner, say: "expired"},
		"another root":               {change: func(tr *tree) { tr.root = otherRoot }, want: ErrSigner, say: "signature does not verify|does not lead"},
		"signer of an imposter":      {change: func(tr *tree) { tr.signer = issue(t, &imposter, "Trust list", signerTemplate()) }, want: ErrSigner, say: "does not lead"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tr := tr
			list := tr.list()
			if c.change != nil {
				c.change(&tr)
			}
			s, err := Parse(tr.sign(t, list, FormCTL))
			if err != nil {
				t.Fatal(err)
			}
			at := c.at
			if at.IsZero() {
				at = made.Add(time.Hour)
			}
			err = s.Verify(tr.root.cert, at, c.seen)
			if !errors.Is(err, c.want) || (err != nil && !slices.ContainsFunc(strings.Split(c.say, "|"), func(say string) bool { return strings.Contains(err.Error(), say) })) {
				t.Errorf("got %v, want %v with %q", err, c.want, c.say)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	tr := newTree(t)
	leaf := issue(t, &tr.one, "Somebody", smx509.Certificate{KeyUsage: smx509.KeyUsageDigitalSignature})
	both := signerTemplate()
	both.ExtKeyUsage = []smx509.ExtKeyUsage{smx509.ExtKeyUsageOCSPSigning}
	cases := map[string]struct {
		change func(*tree, *List)
		want   string
	}{
		"no name":             {func(_ *tree, l *List) { l.Name = "" }, "name"},
		"no number":           {func(_ *tree, l *List) { l.Sequence = 0 }, "sequence number"},
		"empty":               {func(_ *tree, l *List) { l.Certificates = nil }, "certificates: are 0"},
		"twice":               {func(tr *tree, l *List) { l.Certificates = append(l.Certificates, tr.one.cert) }, "twice"},
		"no CA":               {func(_ *tree, l *List) { l.Certificates = append(l.Certificates, leaf.cert) }, "not a CA"},
		"ends before it is":   {func(_ *tree, l *List) { l.NextUpdate = l.ThisUpdate }, "next update"},
		"by a CA":             {func(tr *tree, _ *List) { tr.signer = tr.industry }, "signer of its own"},
		"by a subscriber":     {func(tr *tree, _ *List) { tr.signer = leaf }, "extended key usage"},
		"by an OCSP key":      {func(tr *tree, _ *List) { tr.signer = issue(t, &tr.industry, "Both", both) }, "extended key usage"},
		"with another's key":  {func(tr *tree, _ *List) { tr.signer.key = tr.one.key }, "another key"},
		"more than can be":    {func(tr *tree, l *List) { l.Certificates = make([]*smx509.Certificate, MaxEntries+1) }, "certificates: are 1025"},
		"name with a newline": {func(_ *tree, l *List) { l.Name = "a\nb" }, "name"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			tr, l := tr, tr.list()
			c.change(&tr, &l)
			if _, err := Sign(tr.signer.key, tr.signer.cert, l, FormCTL); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestTamperedListsAreRefused changes every byte of both forms.
func TestTamperedListsAreRefused(t *testing.T) {
	tr := newTree(t)
	l := tr.list()
	l.Certificates = l.Certificates[:2] // each byte costs a verification
	for _, form := range Forms {
		good := tr.sign(t, l, form)
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 0x41
			s, err := Parse(bad)
			if err != nil {
				continue
			}
			if err := s.Verify(tr.root.cert, made.Add(time.Hour), 0); err == nil {
				t.Fatalf("form %d: byte %d of %d was changed, and it verifies", form, i, len(good))
			}
		}
	}
}

// TestContentOfAnotherIsRefused swaps well-formed parts between two signed lists.
func TestContentOfAnotherIsRefused(t *testing.T) {
	tr := newTree(t)
	l := tr.list()
	fewer := l
	fewer.Certificates = l.Certificates[:3]
	content, err := fewer.marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(tr.sign(t, l, FormCTL))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		content, attributes []byte
		bag                 []*smx509.Certificate
		want                error
	}{
		"shorter list under the old signature": {content, s.attributes, fewer.Certificates, ErrSignature},
		"shorter list with its digest":         {content, must(marshalAttributes(FormCTL, digestOf(content, FormCTL))), fewer.Certificates, ErrSignature},
		"certificate taken away":               {s.content, s.attributes, l.Certificates[:3], ErrCertificates},
		"certificate smuggled in":              {s.content, s.attributes, append(slices.Clone(l.Certificates), issue(t, nil, "Mine", caTemplate()).cert), ErrCertificates},
		"certificate twice":                    {s.content, s.attributes, append(slices.Clone(l.Certificates), tr.one.cert), ErrCertificates},
		"nothing changed":                      {s.content, s.attributes, l.Certificates, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			der, err := marshalSigned(c.content, FormCTL, c.attributes, s.signature, tr.signer.cert, c.bag)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Parse(der)
			if err == nil {
				err = got.Verify(tr.root.cert, made.Add(time.Hour), 0)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	tr := newTree(t)
	good := tr.sign(t, tr.list(), FormCTL)
	var onlyCertificates cryptobyte.Builder
	onlyCertificates.AddASN1(0x30, func(b *cryptobyte.Builder) { addOID(b, oidSignedData) })
	for name, c := range map[string]struct {
		der  []byte
		want string
	}{
		"nothing":       {nil, "PKCS#7"},
		"PEM":           {[]byte("-----BEGIN PKCS7-----"), "it is PEM"},
		"too long":      {make([]byte, MaxSigned+1), "at most"},
		"more behind":   {append(bytes.Clone(good), 0), "PKCS#7"},
		"cut":           {good[:len(good)-1], "PKCS#7"},
		"a certificate": {tr.root.cert.Raw, "PKCS#7"},
		"no content":    {onlyCertificates.BytesOrPanic(), "PKCS#7"},
	} {
		if _, err := Parse(c.der); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	tr := newTree(f)
	for _, form := range Forms {
		f.Add(tr.sign(f, tr.list(), form))
	}
	for _, name := range []string{"testdata/list.ctl", "testdata/list.p7b"} {
		f.Add(readFile(f, name))
	}
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := Parse(der)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrCertificates) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if s.Sequence < 1 || len(s.Certificates) == 0 || len(s.Certificates) > MaxEntries || s.Signer == nil || !s.NextUpdate.After(s.ThisUpdate) {
			t.Errorf("read %+v", s.List)
		}
		_ = s.Verify(tr.root.cert, made, 0)
	})
}
