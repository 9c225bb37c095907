package transport

import (
	"bytes"
	"crypto/x509"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const day = 24 * time.Hour

func processes() []Process {
	return []Process{{Name: "ca", Hosts: []string{"ca.core.example", "10.0.0.1", "fd00::1"}}, {Name: "ra"}}
}

func ensureAt(t *testing.T, now time.Time, s State, processes []Process) (State, Plan) {
	t.Helper()
	before := State{Authority: maps.Clone(s.Authority), Leaves: maps.Clone(s.Leaves)}
	plan, err := MakePlan(now, s, processes)
	if err != nil {
		t.Fatal(err)
	}
	next, changed, err := Ensure(now, s, processes)
	if err != nil {
		t.Fatal(err)
	}
	if changed != (len(plan.Steps) > 0) {
		t.Errorf("changed: got %v, but the plan is %v", changed, plan.Steps)
	}
	if diff := cmp.Diff(before, s); diff != "" {
		t.Errorf("Ensure changed its argument (-before +after):\n%s", diff)
	}
	return next, plan
}

func leafOf(t *testing.T, m Material) *x509.Certificate {
	t.Helper()
	certs, err := parseCertificates(m[CertFile])
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// trusts says whether who holds m would take the leaf of other at now.
func trusts(t *testing.T, now time.Time, m, other Material) bool {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(m[CAFile]) {
		t.Fatal("no CA in the bundle")
	}
	_, err := leafOf(t, other).Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}

func TestEnsureFromNothing(t *testing.T) {
	s, plan := ensureAt(t, start, State{}, processes())
	want := []Step{{"transport CA", "is missing"}, {"ca", "is missing"}, {"ra", "is missing"}}
	if diff := cmp.Diff(want, plan.Steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	leaf := leafOf(t, s.Leaves["ca"])
	if leaf.Subject.CommonName != "ca" || !leaf.NotBefore.Equal(start.Add(-Backdate)) || !leaf.NotAfter.Equal(start.Add(LeafLife)) {
		t.Errorf("leaf: got %q from %s to %s", leaf.Subject.CommonName, leaf.NotBefore, leaf.NotAfter)
	}
	if diff := cmp.Diff([]string{"ca.core.example"}, leaf.DNSNames); diff != "" || len(leaf.IPAddresses) != 2 {
		t.Errorf("hosts: got %v and %v", leaf.DNSNames, leaf.IPAddresses)
	}
	if diff := cmp.Diff([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, leaf.ExtKeyUsage); diff != "" {
		t.Errorf("usages (-want +got):\n%s", diff)
	}
	if !trusts(t, start, s.Leaves["ra"], s.Leaves["ca"]) {
		t.Error("ra does not trust ca")
	}
	if again, plan := ensureAt(t, start, s, processes()); len(plan.Steps) > 0 || cmp.Diff(s, again) != "" {
		t.Errorf("again: got steps %v, want none", plan.Steps)
	}
}

func TestEnsureLeaf(t *testing.T) {
	s, plan := ensureAt(t, start, State{}, processes())
	third := leafOf(t, s.Leaves["ra"]).NotAfter.Sub(start.Add(-Backdate)) / 3
	due := start.Add(-Backdate).Add(2 * third)
	if !plan.Next.Equal(due) {
		t.Errorf("next look: got %s, want %s", plan.Next, due)
	}
	change := func(name, file string, b []byte) State {
		leaves := maps.Clone(s.Leaves)
		leaves[name] = maps.Clone(leaves[name])
		leaves[name][file] = b
		return State{Authority: s.Authority, Leaves: leaves}
	}
	other := []Process{{Name: "ca", Hosts: []string{"ca2.core.example"}}, {Name: "ra"}}
	for name, tc := range map[string]struct {
		now       time.Time
		state     State
		processes []Process
		want      []Step
	}{
		"before it is due":     {due.Add(-time.Second), s, processes(), nil},
		"due":                  {due, s, processes(), []Step{{"ca", "is past two thirds of its life"}, {"ra", "is past two thirds of its life"}}},
		"clock set back":       {start.Add(-day), s, processes(), []Step{{"ca", "begins in the future; a clock was set back"}, {"ra", "begins in the future; a clock was set back"}}},
		"hosts changed":        {start, s, other, []Step{{"ca", "name or hosts changed"}}},
		"key of another":       {start, change("ra", KeyFile, s.Leaves["ca"][KeyFile]), processes(), []Step{{"ra", "key does not fit the certificate"}}},
		"certificate damaged":  {start, change("ra", CertFile, []byte("x")), processes(), []Step{{"ra", "certificate is damaged"}}},
		"bundle lost":          {start, change("ra", CAFile, nil), processes(), []Step{{"ra", "the bundle of transport CAs changed"}}},
		"a new process":        {start, s, append(processes(), Process{Name: "validation-public-1"}), []Step{{"validation-public-1", "is missing"}}},
		"a process is no more": {start, s, processes()[:1], nil},
	} {
		t.Run(name, func(t *testing.T) {
			next, plan := ensureAt(t, tc.now, tc.state, tc.processes)
			if diff := cmp.Diff(tc.want, plan.Steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if _, plan := ensureAt(t, tc.now, next, tc.processes); len(plan.Steps) > 0 {
				t.Errorf("again: got %v, want no steps", plan.Steps)
			}
		})
	}
}

// Seven years, a look every twelve hours: at no time is a leaf refused by a peer
// whose folder is up to a day old, and the bundle never grows beyond two.
func TestRotationLeavesNobodyOut(t *testing.T) {
	s, _ := ensureAt(t, start, State{}, processes())
	first := leafOf(t, s.Authority)
	var dayOld []State
	steps := 0
	for now := start; now.Before(start.Add(7 * 365 * day)); now = now.Add(12 * time.Hour) {
		next, changed, err := Ensure(now, s, processes())
		if err != nil {
			t.Fatal(err)
		}
		if changed {
			steps++
		}
		s = next
		dayOld = append(dayOld, s)
		if len(dayOld) > 3 {
			dayOld = dayOld[1:]
		}
		stale := dayOld[0]
		if changed || len(dayOld) < 3 || !bytes.Equal(stale.Leaves["ra"][CAFile], s.Leaves["ra"][CAFile]) {
			if !trusts(t, now, stale.Leaves["ra"], s.Leaves["ca"]) {
				t.Fatalf("%s: a peer with a folder of yesterday refuses today's leaf", now)
			}
			if !trusts(t, now, s.Leaves["ra"], stale.Leaves["ca"]) {
				t.Fatalf("%s: a peer refuses yesterday's leaf", now)
			}
		}
		if n, err := parseCertificates(s.Leaves["ra"][CAFile]); err != nil || len(n) > 2 {
			t.Fatalf("%s: bundle: got %d CAs, %v", now, len(n), err)
		}
	}
	if leafOf(t, s.Authority).Equal(first) {
		t.Error("the CA was not renewed")
	}
	if n, _ := parseCertificates(s.Authority[CAFile]); len(n) != 1 {
		t.Errorf("at the end the bundle holds %d CAs, want 1", len(n))
	}
	// 84 months / 2 of leaves, and three of the CA, give or take the grid.
	if steps < 40 || steps > 50 {
		t.Errorf("got %d steps", steps)
	}
}

// Off for so long that all has ended: one call makes everything anew.
func TestEnsureAfterAllHasEnded(t *testing.T) {
	s, _ := ensureAt(t, start, State{}, processes())
	now := start.Add(6 * 365 * day)
	s, _ = ensureAt(t, now, s, processes())
	if !trusts(t, now, s.Leaves["ra"], s.Leaves["ca"]) {
		t.Error("ra does not trust ca")
	}
	if n, _ := parseCertificates(s.Authority[CAFile]); len(n) != 1 {
		t.Errorf("bundle holds %d CAs, want 1", len(n))
	}
}

func TestEnsureRefuses(t *testing.T) {
	s, _ := ensureAt(t, start, State{}, processes())
	change := func(file string, b []byte) State {
		m := maps.Clone(s.Authority)
		m[file] = b
		return State{Authority: m, Leaves: s.Leaves}
	}
	for name, tc := range map[string]struct {
		state     State
		processes []Process
	}{
		"CA certificate damaged": {change(CertFile, []byte("x")), nil},
		"CA key damaged":         {change(KeyFile, []byte("x")), nil},
		"CA key of another":      {change(KeyFile, s.Leaves["ra"][KeyFile]), nil},
		"leaf as CA":             {change(CertFile, s.Leaves["ra"][CertFile]), nil},
		"bundle damaged":         {change(CAFile, nil), nil},
		"since damaged":          {change(sinceFile, []byte("yesterday")), nil},
		"next without key":       {change(nextCertFile, s.Authority[CertFile]), nil},
		"no name":                {s, []Process{{}}},
		"a path as name":         {s, []Process{{Name: "../ca"}}},
		"bad host":               {s, []Process{{Name: "ca", Hosts: []string{"a b"}}}},
		"too many hosts":         {s, []Process{{Name: "ca", Hosts: make([]string, maxHosts+1)}}},
		"listed twice":           {s, []Process{{Name: "ca"}, {Name: "ca"}}},
	} {
		t.Run(name, func(t *testing.T) {
			next, changed, err := Ensure(start, tc.state, tc.processes)
			if err == nil || changed {
				t.Fatalf("got changed %v, %v; want an error", changed, err)
			}
			if diff := cmp.Diff(tc.state, next); diff != "" {
				t.Errorf("state after a refusal (-want +got):\n%s", diff)
			}
		})
	}
}
