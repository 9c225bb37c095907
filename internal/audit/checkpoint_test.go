package audit

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"
)

func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sample() Checkpoint {
	all := hashes(3)
	return Checkpoint{Tree: all[0], Size: 3, Root: root(all), At: time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)}
}

func TestCheckpoint(t *testing.T) {
	key := newKey(t)
	c := sample()
	signed, err := Sign(key, c)
	if err != nil {
		t.Fatal(err)
	}
	want := "terrace/audit/" + c.Tree.String() + "\n3\n" + c.Root.base64() + "\ntime 2026-03-01T12:00:00.000005Z\n"
	if got := string(signed.Body()); got != want {
		t.Errorf("body %q, want %q", got, want)
	}
	if !strings.HasPrefix(string(signed.Text()), want+"\n— terrace/audit/"+c.Tree.String()+" ") {
		t.Errorf("text %q", signed.Text())
	}
	again, err := ParseSigned(signed.Text())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(signed, again); d != "" {
		t.Error(d)
	}
	if err := again.Verify(&key.PublicKey); err != nil {
		t.Error(err)
	}
	if err := again.Verify(&newKey(t).PublicKey); !errors.Is(err, ErrCheckpointSignature) {
		t.Errorf("with another key: %v", err)
	}
	for name, change := range map[string]func(*Signed){
		"size": func(s *Signed) { s.Size-- }, "root": func(s *Signed) { s.Root[0] ^= 1 },
		"tree": func(s *Signed) { s.Tree[0] ^= 1 }, "time": func(s *Signed) { s.At = s.At.Add(time.Second) },
	} {
		other := again
		change(&other)
		if err := other.Verify(&key.PublicKey); !errors.Is(err, ErrCheckpointSignature) {
			t.Errorf("with another %s: %v", name, err)
		}
	}
}

func TestParseSignedRefuses(t *testing.T) {
	signed, err := Sign(newKey(t), sample())
	if err != nil {
		t.Fatal(err)
	}
	text := string(signed.Text())
	tree := signed.Tree.String()
	for name, bad := range map[string]string{
		"empty":                "",
		"long":                 strings.Repeat("x", MaxCheckpoint+1),
		"without last newline": strings.TrimSuffix(text, "\n"),
		"a line more":          text + "x\n",
		"capital tree":         strings.Replace(text, tree, strings.ToUpper(tree), 1),
		"short tree":           strings.Replace(text, tree, tree[2:], 1),
		"size with zero":       strings.Replace(text, "\n3\n", "\n03\n", 1),
		"no leaves":            strings.Replace(text, "\n3\n", "\n0\n", 1),
		"negative":             strings.Replace(text, "\n3\n", "\n-3\n", 1),
		"short time":           strings.Replace(text, ".000005Z", "Z", 1),
		"hyphen for dash":      strings.Replace(text, "—", "-", 1),
		"no signature":         text[:strings.LastIndex(text, " ")+1] + "AAAA\n",
		"windows":              strings.ReplaceAll(text, "\n", "\r\n"),
	} {
		if _, err := ParseSigned([]byte(bad)); !errors.Is(err, ErrCheckpointForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseSigned(f *testing.F) {
	signed, err := Sign(newKey(f), sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Text())
	f.Add([]byte("terrace/audit/\n1\n\ntime \n\n— \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSigned(b)
		if err == nil && !bytes.Equal(s.Text(), b) {
			t.Errorf("parsed %q is written %q", b, s.Text())
		}
	})
}

func TestMark(t *testing.T) {
	key := newKey(t)
	c := sample()
	m, err := Mark{Auditor: "auditor-1", From: 1, To: 2, Tree: c.Tree, Size: c.Size, Root: c.Root, At: c.At, Note: "first quarter"}.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(&newKey(t).PublicKey); !errors.Is(err, ErrMark) {
		t.Errorf("with another key: %v", err)
	}
	for name, change := range map[string]func(*Mark){
		"auditor": func(m *Mark) { m.Auditor = "auditor-2" }, "note": func(m *Mark) { m.Note = "" }, "from": func(m *Mark) { m.From = 2 },
		"to": func(m *Mark) { m.To = 3 }, "root": func(m *Mark) { m.Root[0] ^= 1 }, "time": func(m *Mark) { m.At = m.At.Add(time.Second) },
		"beyond": func(m *Mark) { m.To = 4 }, "long note": func(m *Mark) { m.Note = strings.Repeat("x", MaxNote+1) }, "key": func(m *Mark) { m.PublicKey = nil },
	} {
		other := m
		change(&other)
		if err := other.Check(nil); !errors.Is(err, ErrMark) {
			t.Errorf("with another %s: %v", name, err)
		}
	}
}
