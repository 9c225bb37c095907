package directorytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/directory"
)

// Server proves the contract of directory.Server. open gives an account that
// writes on an empty server and one that reads its log of changes, which may
// be the same; base is dc=...
func Server(t *testing.T, base string, open func(t *testing.T) (writer, reader directory.Server)) {
	t.Run("reads what was written", func(t *testing.T) { testReadsWritten(t, base, open) })
	t.Run("walks pages", func(t *testing.T) { testWalks(t, base, open) })
	t.Run("names failures", func(t *testing.T) { testFailures(t, base, open) })
	t.Run("logs changes", func(t *testing.T) { testLog(t, base, open) })
}

func attribute(typ string, values ...string) directory.Attribute {
	a := directory.Attribute{Type: typ}
	for _, v := range values {
		a.Values = append(a.Values, []byte(v))
	}
	return a
}

func root(base string) directory.Change {
	layout, err := directory.NewLayout(directory.LayoutConfig{Base: base, Naming: directory.NamingSerial, Audience: directory.Business})
	if err != nil {
		panic(err)
	}
	return directory.Change{Kind: directory.Add, DN: base, Attributes: layout.Root().Attributes}
}

func unit(base, ou string) directory.Change {
	return directory.Change{Kind: directory.Add, DN: "ou=" + ou + "," + base,
		Attributes: []directory.Attribute{attribute("objectClass", "organizationalUnit"), attribute("ou", ou)}}
}

func device(parent, cn string, more ...directory.Attribute) directory.Change {
	return directory.Change{Kind: directory.Add, DN: "cn=" + cn + "," + parent,
		Attributes: append([]directory.Attribute{attribute("objectClass", "device"), attribute("cn", cn)}, more...)}
}

func apply(t *testing.T, s directory.Server, changes ...directory.Change) {
	t.Helper()
	if err := s.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func testReadsWritten(t *testing.T, base string, open func(t *testing.T) (writer, reader directory.Server)) {
	s, _ := open(t)
	c := device(base, "甲", attribute("l", "two", "one"), attribute("o", "x, y + z"))
	apply(t, s, root(base), c)
	got, err := s.Get(t.Context(), []string{"cn=nobody," + base, c.DN, "cn=x,ou=nowhere," + base})
	if err != nil {
		t.Fatal(err)
	}
	want := directory.NewEntry(c.DN, c.Attributes...)
	if got[0] != nil || got[2] != nil || got[1] == nil || !got[1].Equal(want) {
		t.Fatalf("Get: got %v, want only %v", got, want)
	}
	modify := directory.Change{Kind: directory.Modify, DN: c.DN, Attributes: []directory.Attribute{attribute("l", "three"), {Type: "o"}}}
	apply(t, s, modify)
	got, err = s.Get(t.Context(), []string{c.DN})
	if err != nil {
		t.Fatal(err)
	}
	want = directory.NewEntry(c.DN, attribute("objectClass", "device"), attribute("cn", "甲"), attribute("l", "three"))
	if got[0] == nil || !got[0].Equal(want) {
		t.Fatalf("after modification: got %v, want %v", got[0], want)
	}
	remove := directory.Change{Kind: directory.Delete, DN: c.DN}
	apply(t, s, remove)
	apply(t, s, remove) // what is not there: no error
	if got, err = s.Get(t.Context(), []string{c.DN}); err != nil || got[0] != nil {
		t.Fatalf("after deletion: got %v, %v", got, err)
	}
}

func testWalks(t *testing.T, base string, open func(t *testing.T) (writer, reader directory.Server)) {
	s, _ := open(t)
	none := func(directory.Entry) error { return errors.New("an entry of an empty server") }
	if err := s.Walk(t.Context(), base, none); err != nil {
		t.Fatalf("without base: %v", err)
	}
	const n = 1100
	changes := []directory.Change{root(base), unit(base, "a")}
	want := []string{base, "ou=a," + base}
	for i := range n {
		c := device("ou=a,"+base, fmt.Sprint(i))
		changes = append(changes, c)
		want = append(want, c.DN)
	}
	apply(t, s, changes...)
	var got []string
	err := s.Walk(t.Context(), base, func(e directory.Entry) error {
		got = append(got, e.DN)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	stop := errors.New("stop")
	if err := s.Walk(t.Context(), base, func(directory.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("Walk does not end with the error of yield: %v", err)
	}
}

func testFailures(t *testing.T, base string, open func(t *testing.T) (writer, reader directory.Server)) {
	s, _ := open(t)
	apply(t, s, root(base), unit(base, "a"), device("ou=a,"+base, "x"))
	tests := map[string]struct {
		change directory.Change
		want   error
	}{
		"add what is there":         {device("ou=a,"+base, "x"), directory.ErrExists},
		"add without parent":        {device("ou=b,"+base, "x"), directory.ErrNotFound},
		"modify what is not there":  {directory.Change{Kind: directory.Modify, DN: "cn=y," + base, Attributes: []directory.Attribute{attribute("l", "z")}}, directory.ErrNotFound},
		"delete what has something": {directory.Change{Kind: directory.Delete, DN: "ou=a," + base}, directory.ErrNotLeaf},
	}
	for name, test := range tests {
		if err := s.Apply(t.Context(), []directory.Change{test.change}); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, []string{base}); err == nil {
		t.Error("Get with an ended context succeeds")
	}
}

func testLog(t *testing.T, base string, open func(t *testing.T) (writer, reader directory.Server)) {
	s, reader := open(t)
	log, err := reader.Changes(t.Context(), "", 10)
	if errors.Is(err, directory.ErrNoLog) {
		t.Skip("keeps no log")
	}
	if err != nil {
		t.Fatal(err)
	}
	if again, err := reader.Changes(t.Context(), log.Next, 10); err != nil || len(again.DNs) != 0 || again.Next != log.Next {
		t.Fatalf("nothing was changed: got %+v, %v", again, err)
	}
	apply(t, s, root(base), unit(base, "a"))
	if log, err = reader.Changes(t.Context(), "", 10); err != nil {
		t.Fatal(err)
	}
	changes := []directory.Change{
		device("ou=a,"+base, "x"), device("ou=a,"+base, "y"),
		{Kind: directory.Modify, DN: "cn=x,ou=a," + base, Attributes: []directory.Attribute{attribute("l", "z")}},
		{Kind: directory.Delete, DN: "cn=y,ou=a," + base},
		device("ou=a,"+base, "z"),
	}
	for _, c := range changes {
		apply(t, s, c)
	}
	var got []string
	cursor := log.Next
	for {
		log, err := reader.Changes(t.Context(), cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(log.DNs) > 2 || (len(log.DNs) > 0 && log.Oldest.IsZero()) {
			t.Fatalf("with limit 2: got %+v", log)
		}
		got = append(got, log.DNs...)
		cursor = log.Next
		if !log.More {
			break
		}
	}
	want := []string{"cn=x,ou=a," + base, "cn=y,ou=a," + base, "cn=x,ou=a," + base, "cn=y,ou=a," + base, "cn=z,ou=a," + base}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if _, err := reader.Changes(t.Context(), "20010101000000.000000Z#000000#001#000000", 10); !errors.Is(err, directory.ErrCursorLost) {
		t.Errorf("a cursor that the log does not reach: got %v, want ErrCursorLost", err)
	}
}
