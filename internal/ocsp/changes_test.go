package ocsp

import (
	"fmt"
	"slices"
	"testing"

	"github.com/terrace-pki/terrace/internal/pki"
)

func TestChanges(t *testing.T) {
	c := NewChanges()
	of := func(s pki.Serial) [2]any { v, settled := c.Version(s); return [2]any{v, settled} }
	const a = pki.Serial("01AA")
	b := pki.Serial("")
	for i := 0; b == ""; i++ { // of another stripe
		if s := pki.Serial(fmt.Sprintf("02%04X", i)); c.of(s) != c.of(a) {
			b = s
		}
	}
	var ends []func()
	begin := func(end func()) { ends = append(ends, end) }
	end := func() { ends[0](); ends = ends[1:] }
	is := func(v int, settled bool) [2]any { return [2]any{uint64(v), settled} }
	steps := []struct {
		name         string
		do           func()
		wantA, wantB [2]any
	}{
		{"new", func() {}, is(0, true), is(0, true)},
		{"one changes", func() { begin(c.Begin(slices.Values([]pki.Serial{a}))) }, is(0, false), is(0, true)},
		{"it changes twice at a time", func() { begin(c.Begin(slices.Values([]pki.Serial{a, a}))) }, is(0, false), is(0, true)},
		{"the first ends", end, is(1, false), is(0, true)},
		{"all change", func() { begin(c.BeginAll()) }, is(1, false), is(0, false)},
		{"the second ends", end, is(3, false), is(0, false)},
		{"all end", end, is(4, true), is(1, true)},
	}
	for _, s := range steps {
		s.do()
		if of(a) != s.wantA || of(b) != s.wantB {
			t.Errorf("%s: %v, %v, want %v, %v", s.name, of(a), of(b), s.wantA, s.wantB)
		}
	}
}
