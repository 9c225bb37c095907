package directory

import (
	"slices"
	"strings"
)

// ChangeKind is what a change does.
type ChangeKind int

// Kinds, in the order of a plan.
const (
	Delete ChangeKind = iota + 1
	Add
	Modify
)

func (k ChangeKind) String() string {
	return [...]string{"?", "delete", "add", "modify"}[max(0, min(int(k), 3))]
}

// Change of one entry.
type Change struct {
	Kind ChangeKind
	DN   string
	// Attributes of an added entry; of a modified one those to be replaced, one
	// without values is removed.
	Attributes []Attribute
}

// Depth is the number of RDNs of the changed entry, 0 when its DN is malformed.
func (c Change) Depth() int { return depth(c.DN) }

func depth(name string) int {
	d, err := parseDN(name)
	if err != nil {
		return 0
	}
	return len(d)
}

// Plan says what turns what is present into what is wanted: present[i], nil for
// nothing, is what stands under wants[i].DN, and no DN comes twice. Children
// are deleted before their parents and added after them; apart from that the
// order is that of the DNs. A leaf whose object classes differ is deleted and
// added again, since LDAP cannot change the structural one.
func Plan(wants []Want, present []*Entry) []Change {
	var changes []Change
	for i, w := range wants {
		have := present[i]
		switch {
		case w.Entry == nil && have != nil:
			changes = append(changes, Change{Kind: Delete, DN: have.DN})
		case w.Entry == nil:
		case have == nil:
			changes = append(changes, Change{Kind: Add, DN: w.DN, Attributes: w.Entry.Attributes})
		case !isContainer(*have) && !equalValues(w.Entry.Values("objectClass"), have.Values("objectClass")):
			changes = append(changes,
				Change{Kind: Delete, DN: have.DN},
				Change{Kind: Add, DN: w.DN, Attributes: w.Entry.Attributes})
		default:
			if m := modifications(*w.Entry, *have); len(m) > 0 {
				changes = append(changes, Change{Kind: Modify, DN: w.DN, Attributes: m})
			}
		}
	}
	sortChanges(changes)
	return changes
}

// isContainer says whether entries may stand below one.
func isContainer(e Entry) bool {
	for _, c := range e.Values("objectClass") {
		switch strings.ToLower(string(c)) {
		case "organizationalunit", "domain", "dcobject", "organization", "country", "locality":
			return true
		}
	}
	return false
}

// modifications lists the attributes of want that have has not, or otherwise.
func modifications(want, have Entry) []Attribute {
	var m []Attribute
	for _, a := range want.Attributes {
		if !equalValues(a.Values, have.Values(a.Type)) {
			m = append(m, a)
		}
	}
	for _, a := range have.Attributes {
		if want.Values(a.Type) == nil {
			m = append(m, Attribute{Type: a.Type})
		}
	}
	return m
}

func sortChanges(changes []Change) {
	type place struct {
		depth int
		key   string
	}
	places := make(map[string]place, len(changes))
	for _, c := range changes {
		key, _ := NormalizeDN(c.DN)
		places[c.DN] = place{c.Depth(), key}
	}
	slices.SortStableFunc(changes, func(a, b Change) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		pa, pb := places[a.DN], places[b.DN]
		if pa.depth != pb.depth {
			if a.Kind == Delete {
				return pb.depth - pa.depth
			}
			return pa.depth - pb.depth
		}
		return strings.Compare(pa.key, pb.key)
	})
}
