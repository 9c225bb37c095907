package directory

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func listOf(entries ...Entry) Listing {
	return func(_ context.Context, yield func(Entry) error) error {
		for _, e := range entries {
			if err := yield(e); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestCompare(t *testing.T) {
	entry := func(i int, l string) Entry {
		name := fmt.Sprintf("cn=%04d,dc=cn", i)
		return NewEntry(name, text("cn", fmt.Sprintf("%04d", i)), text("l", l))
	}
	var want, have []Entry
	var differences []Difference
	for i := range 2000 {
		switch {
		case i%200 == 1:
			want = append(want, entry(i, "a"))
			differences = append(differences, Difference{Missing, entry(i, "").DN})
		case i%200 == 2:
			have = append(have, entry(i, "a"))
			differences = append(differences, Difference{Extra, entry(i, "").DN})
		case i%200 == 3:
			want, have = append(want, entry(i, "a")), append(have, entry(i, "b"))
			differences = append(differences, Difference{Changed, entry(i, "").DN})
		default:
			want, have = append(want, entry(i, "a")), append(have, entry(i, "a"))
		}
	}
	slices.Reverse(have) // servers list in their own order
	for _, limit := range []int{10_000, 1999, 100, 7, 1} {
		var got []Difference
		passes := 0
		count := func(l Listing) Listing {
			return func(ctx context.Context, yield func(Entry) error) error {
				passes++
				return l(ctx, yield)
			}
		}
		err := compare(t.Context(), count(listOf(want...)), listOf(have...), limit, func(d []Difference) error {
			got = append(got, d...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b Difference) int { return compareStrings(a.DN, b.DN) })
		if diff := cmp.Diff(differences, got); diff != "" {
			t.Errorf("limit %d: %s", limit, diff)
		}
		if limit > 2000 && passes != 1 {
			t.Errorf("limit %d: read %d times, want once", limit, passes)
		}
	}
	passes := 0
	same := func(ctx context.Context, yield func(Entry) error) error {
		passes++
		return listOf(want...)(ctx, yield)
	}
	if err := compare(t.Context(), same, listOf(want...), 1, func([]Difference) error { return fmt.Errorf("a difference") }); err != nil || passes != 1 {
		t.Errorf("equal listings: read %d times, %v; want once and no difference", passes, err)
	}
}

func compareStrings(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

func TestPlan(t *testing.T) {
	unit := func(name string) *Entry {
		e := NewEntry(name, text("objectClass", "organizationalUnit", "pkiCA"), text("ou", "a"))
		return &e
	}
	device := func(name, l string, classes ...string) *Entry {
		e := NewEntry(name, text("objectClass", append(classes, "device")...), text("cn", "x"), text("l", l))
		return &e
	}
	wants := []Want{
		{DN: "cn=new,ou=a,dc=cn", Entry: device("cn=new,ou=a,dc=cn", "1")},
		{DN: "ou=a,dc=cn", Entry: unit("ou=a,dc=cn")},
		{DN: "ou=old,dc=cn"},
		{DN: "cn=x,ou=old,dc=cn"},
		{DN: "cn=never,dc=cn"},
		{DN: "cn=same,dc=cn", Entry: device("cn=same,dc=cn", "1")},
		{DN: "cn=edited,dc=cn", Entry: device("cn=edited,dc=cn", "1")},
		{DN: "cn=class,dc=cn", Entry: device("cn=class,dc=cn", "1", "pkiUser")},
	}
	edited := NewEntry("cn=edited,dc=cn", text("objectClass", "device"), text("cn", "x"), text("l", "2"), text("o", "extra"))
	have := []*Entry{nil, nil, unit("ou=old,dc=cn"), device("cn=x,ou=old,dc=cn", "1"), nil,
		device("CN=same, dc=cn", "1"), &edited, device("cn=class,dc=cn", "1")}
	var got []string
	for _, c := range Plan(wants, have) {
		s := c.Kind.String() + " " + c.DN
		if c.Kind == Modify {
			for _, a := range c.Attributes {
				s += fmt.Sprintf(" %s=%s", a.Type, a.Values)
			}
		}
		got = append(got, s)
	}
	want := []string{
		"delete cn=x,ou=old,dc=cn", "delete cn=class,dc=cn", "delete ou=old,dc=cn",
		"add cn=class,dc=cn", "add ou=a,dc=cn", "add cn=new,ou=a,dc=cn",
		"modify cn=edited,dc=cn l=[1] o=[]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestComparisonEndsWhenAPassFindsFarMore(t *testing.T) {
	entry := func(i int) Entry {
		name := fmt.Sprintf("cn=%d,dc=cn", i)
		return NewEntry(name, text("cn", fmt.Sprint(i)))
	}
	passes, seen := 0, 0
	growing := func(_ context.Context, yield func(Entry) error) error {
		n := 50
		if passes++; passes > 1 {
			n = 1_000_000_000 // a server that fills our memory
		}
		for seen = range n {
			if err := yield(entry(seen)); err != nil {
				return err
			}
		}
		return nil
	}
	err := compare(t.Context(), listOf(entry(-1)), growing, 10, func([]Difference) error { return nil })
	if err == nil || seen > 2*50+grownMargin {
		t.Errorf("got %v after %d entries, want an error", err, seen)
	}
}

func TestOverlap(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"dc=example,dc=cn", "DC=Example, dc=cn", true},
		{"ou=a,dc=example,dc=cn", "dc=example,dc=cn", true},
		{"dc=example,dc=cn", "ou=a,dc=example,dc=cn", true},
		{"ou=a,dc=example,dc=cn", "ou=b,dc=example,dc=cn", false},
		{"ou=a,dc=cn", "ou=aa,dc=cn", false},
	} {
		if got, err := Overlap(test.a, test.b); err != nil || got != test.want {
			t.Errorf("%q and %q: got %t, %v; want %t", test.a, test.b, got, err, test.want)
		}
	}
}
