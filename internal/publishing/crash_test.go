package publishing_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/publishing"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
)

// A master that is killed while the feed is drained, and once more, holds all of
// it in the end, in its last state; what was confirmed was there.
func TestMasterKilledWhileDraining(t *testing.T) {
	f := newFixture(t, nil)
	f.await(t, "compared", verifiedAfter(time.Time{}))
	var records []authority.Record
	for part := range 4 {
		var subjects []string
		for i := range 200 {
			subjects = append(subjects, fmt.Sprintf("CN=P%d-%d,C=CN", part, i))
		}
		records = append(records, f.Issue(t, subjects...)...)
	}
	f.Perform(t, authority.VerbRevoke, records[700])
	there := func(r authority.Record) bool {
		return pt.Values(t, f.reader, pt.CertificateEntry(r), userCertificate) != nil
	}
	for _, at := range []int{100, 300} {
		pt.Eventually(t, 60*time.Second, fmt.Sprintf("entry %d", at), func() error {
			if !there(records[at]) {
				return errors.New("not there")
			}
			return nil
		})
		f.master.Kill(t)
		position, err := f.Store.Position(t.Context(), "directory/"+id)
		if err != nil {
			t.Fatal(err)
		}
		f.master.Restart(t)
		changes, _, err := f.Store.Changes(t.Context(), 0, authority.MaxChanges)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Seq <= position && c.Kind == authority.ChangeSerial && c.Record.State == authority.StateIssued && c.Record.Revocation == nil && !there(*c.Record) {
				t.Fatalf("change %d is confirmed up to %d, and its entry did not survive the crash", c.Seq, position)
			}
		}
	}
	s := f.await(t, "in step", func(s publishing.ServerStatus) bool { return s.State == publishing.InStep && s.Backlog == 0 })
	if s.DriftTotal != 0 {
		t.Errorf("drift %d, want 0", s.DriftTotal)
	}
	got := map[string]bool{}
	err := f.reader.Walk(t.Context(), slapdtest.Base, func(e directory.Entry) error { got[e.DN] = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if got[pt.CertificateEntry(r)] != (i != 700) {
			t.Errorf("entry %d: there %t, want only number 700, which is revoked, not to be", i, got[pt.CertificateEntry(r)])
		}
	}
	if len(got) != 2+len(slices.Delete(records, 700, 701)) {
		t.Errorf("%d entries, want base, CA and all but one of 800", len(got))
	}
}
