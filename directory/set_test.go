package directory_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

const directoryName = "ministry/main"

func TestSetsAcrossAGap(t *testing.T) {
	f := newField(t)
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	master := f.master.Client(t, slapdtest.Replicator)
	var cursor directory.Cursor
	var number uint64
	export := func() []byte {
		t.Helper()
		var out bytes.Buffer
		h := directory.SetHeader{Directory: directoryName, Base: base, From: number, To: number + 1, Created: time.Now()}
		if cursor, _, err = directory.Export(t.Context(), &out, h, key, master, cursor); err != nil {
			t.Fatal(err)
		}
		number++
		return out.Bytes()
	}
	slave := f.edit[0]
	var mark directory.Mark
	apply := func(set []byte) (int64, error) {
		t.Helper()
		s, err := directory.ReadSet(bytes.NewReader(set), &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		m, n, err := s.Import(t.Context(), slave, directoryName, mark)
		mark = m
		return n, err
	}
	must := func(set []byte, want int64) {
		t.Helper()
		if n, err := apply(set); err != nil || n != want {
			t.Fatalf("import: %d changes, %v; want %d", n, err, want)
		}
	}

	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued), ca.Publication(t, 2, directory.StateIssued))
	complete := export()
	revoked := ca.Publication(t, 1, directory.StateRevoked)
	f.publish(t, revoked, ca.Publication(t, 3, directory.StateIssued), ca.Authority(signCRL(t, ca, 2)))
	second := export()
	f.publish(t, ca.Publication(t, 4, directory.StateIssued))
	third := export()

	must(complete, 4)
	must(complete, 0) // again: nothing
	if _, err := apply(third); !errors.Is(err, directory.ErrGap) {
		t.Errorf("a set is missing: got %v, want ErrGap", err)
	}
	must(second, 3)
	if _, err := apply(complete); !errors.Is(err, directory.ErrReplay) {
		t.Errorf("an older set: got %v, want ErrReplay", err)
	}
	must(third, 1)
	want, got := dump(t, f.operator), dump(t, slave)
	if len(want) != 5 || len(got) != 5 {
		t.Errorf("got %d entries, master has %d, want 5", len(got), len(want))
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}

	// A complete set repairs what was changed on the far side and removes what is extra.
	if err := slave.Apply(t.Context(), []directory.Change{{Kind: directory.Delete, DN: "serialNumber=" + string(directorytest.Serial(2)) + ",ou=" + ca.Name + "," + base},
		{Kind: directory.Add, DN: "cn=x," + base, Attributes: []directory.Attribute{{Type: "objectClass", Values: [][]byte{[]byte("device")}}, {Type: "cn", Values: [][]byte{[]byte("x")}}}}}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, _, err := directory.Export(t.Context(), &out, directory.SetHeader{Directory: directoryName, Base: base, To: 9, Created: time.Now()}, key, master, ""); err != nil {
		t.Fatal(err)
	}
	must(out.Bytes(), 2)
}

func TestReadSetRefuses(t *testing.T) {
	key, _ := sm2.GenerateKey(rand.Reader)
	other, _ := sm2.GenerateKey(rand.Reader)
	entry := directory.NewEntry("dc=cn", directory.Attribute{Type: "objectClass", Values: [][]byte{[]byte("domain")}})
	write := func(h directory.SetHeader, wants ...directory.Want) string {
		t.Helper()
		var out bytes.Buffer
		w, err := directory.NewSetWriter(&out, h, key)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if err := w.Add(want); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	h := directory.SetHeader{Directory: directoryName, Base: "dc=cn", From: 1, To: 2, Created: time.Unix(0, 0)}
	good := write(h, directory.Want{DN: "dc=cn", Entry: &entry})
	if _, err := directory.ReadSet(strings.NewReader(good), &key.PublicKey); err != nil {
		t.Fatal(err)
	}
	complete := h
	complete.From = 0
	tests := map[string]struct {
		set  string
		key  *ecdsa.PublicKey
		says string
	}{
		"empty":                 {"", &key.PublicKey, "no signature line"},
		"torn":                  {good[:len(good)-10], &key.PublicKey, "no signature line"},
		"no signature":          {good[:strings.Index(good, "# signature")], &key.PublicKey, "no signature line"},
		"another key":           {good, &other.PublicKey, "does not verify"},
		"changed":               {strings.Replace(good, "domain", "domaim", 1), &key.PublicKey, "does not verify"},
		"another number":        {strings.Replace(good, "# to: 2", "# to: 3", 1), &key.PublicKey, "does not verify"},
		"something added":       {good + "dn: cn=x\n", &key.PublicKey, "no signature line"},
		"two signatures":        {good + good[strings.Index(good, "\n# signature"):], &key.PublicKey, "does not verify"},
		"outside the base":      {write(h, directory.Want{DN: "dc=com"}), &key.PublicKey, "outside the base"},
		"complete and deletion": {write(complete, directory.Want{DN: "dc=cn"}), &key.PublicKey, "complete set"},
	}
	for name, test := range tests {
		_, err := directory.ReadSet(strings.NewReader(test.set), test.key)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.says)
		}
	}
	s, err := directory.ReadSet(strings.NewReader(good), &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Import(context.Background(), nil, "ministry/other", directory.Mark{To: 1}); err == nil || !strings.Contains(err.Error(), directoryName) {
		t.Errorf("for another directory: got %v", err)
	}
}
