package trustsigner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/trustlist"
	"github.com/terrace-pki/terrace/internal/trustsigner"
)

const year = 365 * 24 * time.Hour

func subjects(l *trustlist.Signed) []string {
	var names []string
	for _, c := range l.Certificates {
		names = append(names, c.Subject.CommonName)
	}
	slices.Sort(names)
	return names
}

func wantSubjects(t *testing.T, l *trustlist.Signed, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, subjects(l)); diff != "" {
		t.Errorf("CAs on the list (-want +got):\n%s", diff)
	}
}

// root is the common name of the national root that tests play.
func (f *fixture) rootName() string { return f.root.Subject.CommonName }

func TestListFollowsTheCAs(t *testing.T) {
	f := newFixture(t)
	f.change(func(s *authority.Settings) { s.TrustList.Interval = 24 * time.Hour })
	first := f.ensure(true)
	wantSubjects(t, first, "CA", f.rootName())
	f.ensure(false)

	one := f.businessCA(industry, "one", 1, year)
	f.businessCA(authority.IssuerKey{Authority: "BusinessCA/tier/one", Generation: 1}, "one-below", 0, year)
	f.businessCA(industry, "two", 0, time.Hour)
	second := f.ensure(true)
	wantSubjects(t, second, "CA", f.rootName(), "one", "one-below", "two")
	if second.Sequence <= first.Sequence {
		t.Errorf("sequence number went from %d to %d", first.Sequence, second.Sequence)
	}
	f.ensure(false)

	f.perform(authority.VerbHold, "hold", one)
	wantSubjects(t, f.ensure(true), "CA", f.rootName(), "two") // what stands below goes with it
	f.perform(authority.VerbRelease, "release", one)
	wantSubjects(t, f.ensure(true), "CA", f.rootName(), "one", "one-below", "two")
	f.perform(authority.VerbRevoke, "revoke", one)
	wantSubjects(t, f.ensure(true), "CA", f.rootName(), "two")
	f.now = f.now.Add(61 * time.Minute)
	wantSubjects(t, f.ensure(true), "CA", f.rootName()) // two expired
	f.ensure(false)
}

func TestListIsMadeByTime(t *testing.T) {
	f := newFixture(t)
	first := f.ensure(true)
	f.now = f.now.Add(59 * time.Minute)
	f.ensure(false)
	f.now = f.now.Add(time.Minute)
	second := f.ensure(true)
	if want := f.now.Add(2 * time.Hour); !second.NextUpdate.Equal(want) || !second.ThisUpdate.Equal(f.now) || second.Sequence <= first.Sequence {
		t.Errorf("list %d from %s to %s, want a number above %d from %s to %s", second.Sequence, second.ThisUpdate, second.NextUpdate, first.Sequence, f.now, want)
	}
	if !second.Signer.Equal(first.Signer) {
		t.Error("another signer's certificate within the window")
	}
	want := trustsigner.Status{Sequence: second.Sequence, ThisUpdate: second.ThisUpdate, NextUpdate: second.NextUpdate, Entries: 2}
	got, ok := f.Status(industry)
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestSequenceGrowsAlsoWhenTheClockGoesBack(t *testing.T) {
	f := newFixture(t)
	first := f.ensure(true)
	f.businessCA(industry, "one", 0, year)
	f.now = f.now.Add(-time.Minute)
	if second := f.ensure(true); second.Sequence != first.Sequence+1 {
		t.Errorf("got number %d, want %d", second.Sequence, first.Sequence+1)
	}
}

// TestCrash ends the attempt at each commit point and starts anew.
func TestCrash(t *testing.T) {
	for _, point := range []trustsigner.CommitPoint{trustsigner.AfterSigner, trustsigner.AfterNumber, trustsigner.AfterFirstForm, trustsigner.AfterList} {
		for _, restart := range []bool{true, false} {
			t.Run(string(point), func(t *testing.T) {
				f := newFixture(t)
				first := f.ensure(true)
				f.businessCA(industry, "one", 0, year)
				crash := errors.New("crash")
				f.reached = func(p trustsigner.CommitPoint) error {
					if p == point {
						return crash
					}
					return nil
				}
				if _, err := f.Ensure(t.Context(), industry); !errors.Is(err, crash) {
					t.Fatalf("got %v, want the crash", err)
				}
				f.reached = nil
				if restart {
					f.start()
				}
				second := f.ensure(point != trustsigner.AfterList)
				wantSubjects(t, second, "CA", f.rootName(), "one")
				if second.Sequence <= first.Sequence || !second.Signer.Equal(first.Signer) {
					t.Errorf("number %d after %d, signer %s", second.Sequence, first.Sequence, second.Signer.Subject)
				}
				f.ensure(false)
			})
		}
	}
}

func TestWritesThatFailLoseNothing(t *testing.T) {
	lost := errors.New("connection lost")
	for _, method := range []string{"ReserveCRLNumber", "SaveCRL", "RecordIssued", "RecordKey"} {
		for name, fail := range map[string]func(*fixture){
			"not persisted": func(f *fixture) { f.store.FailBefore(method, lost) },
			"persisted":     func(f *fixture) { f.store.FailAfter(method, lost) },
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				f := newFixture(t)
				fail(f)
				if made, err := f.Ensure(t.Context(), industry); err == nil || f.store.Pending() > 0 {
					t.Fatalf("made %t, no error, %d faults left", made, f.store.Pending())
				}
				if st, _ := f.Status(industry); !errors.Is(st.Err, lost) {
					t.Errorf("status has %v", st.Err)
				}
				wantSubjects(t, f.ensure(true), "CA", f.rootName())
				f.ensure(false)
				f.start()
				f.ensure(false) // what is in the ledger is whole
			})
		}
	}
}

func TestRevokedSignerGetsAnotherKey(t *testing.T) {
	f := newFixture(t)
	first := f.ensure(true)
	r, err := f.authorities.Status(t.Context(), industry, pki.SerialFromInt(first.Signer.SerialNumber))
	if err != nil {
		t.Fatal(err)
	}
	f.perform(authority.VerbRevoke, "signer", r)
	second := f.ensure(true)
	if string(second.Signer.RawSubjectPublicKeyInfo) == string(first.Signer.RawSubjectPublicKeyInfo) {
		t.Fatal("the revoked signer's key is used again")
	}
	f.ensure(false)
	// The key stays out of use also when its certificates have expired.
	f.now = f.now.Add(3 * year)
	f.start()
	third := f.ensure(true)
	if string(third.Signer.RawSubjectPublicKeyInfo) != string(second.Signer.RawSubjectPublicKeyInfo) || third.Signer.Equal(second.Signer) {
		t.Error("want another certificate of the second key")
	}
}

func TestSignerWhoseKeyIsLost(t *testing.T) {
	f := newFixture(t)
	first := f.ensure(true)
	f.devices = replaced(t, f.devices)
	f.start()
	f.now = f.now.Add(time.Hour)
	if _, err := f.Ensure(t.Context(), industry); !errors.Is(err, authority.ErrKeyMissing) {
		t.Fatalf("got %v, want %v", err, authority.ErrKeyMissing)
	}
	r, err := f.authorities.Status(t.Context(), industry, pki.SerialFromInt(first.Signer.SerialNumber))
	if err != nil {
		t.Fatal(err)
	}
	f.perform(authority.VerbRevoke, "lost", r)
	if second := f.ensure(true); second.Signer.Equal(first.Signer) {
		t.Error("the list is signed under the revoked certificate")
	}
}

func TestPausedCAKeepsItsSigner(t *testing.T) {
	f := newFixture(t)
	first := f.ensure(true)
	f.change(func(s *authority.Settings) { s.Paused = true })
	f.now = f.now.Add(400 * 24 * time.Hour) // the next window
	if second := f.ensure(true); !second.Signer.Equal(first.Signer) {
		t.Error("a paused CA issued a certificate")
	}
	f.change(func(s *authority.Settings) { s.Paused = false })
	f.now = f.now.Add(time.Hour)
	if third := f.ensure(true); third.Signer.Equal(first.Signer) {
		t.Error("the signer's certificate was not renewed")
	}
}

func (f *fixture) change(how func(*authority.Settings)) {
	f.t.Helper()
	ca, err := f.authorities.CA(industry)
	if err != nil {
		f.t.Fatal(err)
	}
	s, list := ca.Settings, *ca.TrustList
	s.TrustList = &list
	how(&s)
	if err := f.authorities.Accept(f.t.Context(), s); err != nil {
		f.t.Fatal(err)
	}
}

func TestEnsureRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*authority.Settings)
		want   string
	}{
		"none declared":      {func(s *authority.Settings) { s.TrustList = nil }, "none is declared"},
		"device is away":     {func(s *authority.Settings) { s.TrustList.Device = "tier/gone" }, "tier/gone"},
		"no root in chain":   {func(s *authority.Settings) { s.Chain = [][]byte{{1}} }, "chain[0]"},
		"more than it lasts": {func(s *authority.Settings) { s.TrustList.Interval = 2 * year }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.change(c.change)
			_, err := f.Ensure(t.Context(), industry)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err == nil {
				if l := f.current(); l.NextUpdate.After(l.Signer.NotAfter) {
					t.Errorf("the list lasts until %s, its signer until %s", l.NextUpdate, l.Signer.NotAfter)
				}
			}
		})
	}
}

func TestRevokedCAMakesNoList(t *testing.T) {
	f := newFixture(t)
	one := f.businessCA(industry, "one", 1, year)
	// A CA whose own certificate this ledger issued can be revoked in it.
	key := authority.IssuerKey{Authority: "IndustryCA/tier/below", Generation: 1}
	ca, err := f.authorities.CA(authority.IssuerKey{Authority: "BusinessCA/tier/one", Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := ca.Settings
	s.Key, s.TrustList = key, &authority.TrustListSettings{Device: "tier/lists", Interval: time.Hour, Overlap: time.Hour}
	if err := f.authorities.Accept(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Ensure(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	f.perform(authority.VerbRevoke, "revoke", one)
	if _, err := f.Ensure(t.Context(), key); !errors.Is(err, authority.ErrCARevoked) {
		t.Errorf("got %v, want %v", err, authority.ErrCARevoked)
	}
}
