package storetest

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Restored loses a ledger, reconciles and archives it, and sees that Verify finds
// nothing, and then what is tampered with.
func Restored(t *testing.T, open func(*testing.T) Database, restore func(*testing.T, io.Reader) Database) {
	dev := openDevice(t)
	for name, a := range map[string]attack{
		"nothing":                         {do: func(*testing.T, *story) {}},
		"an imported name":                {do: onSerial(6, `UPDATE serials SET name = 'other' WHERE serial = $1`), want: "its request, name, shard, notAfter"},
		"an imported certificate":         {do: onSerial(6, `UPDATE issued SET tail = (SELECT tbs FROM serials WHERE serial = $1) WHERE serial_id = `+idOf), want: "its certificate was changed"},
		"content of a serial without":     {do: onSerial(8, `UPDATE issued SET tail = $1 WHERE serial_id = `+idOf), want: "its certificate was changed"},
		"an imported certificate deleted": {do: onSerial(6, `DELETE FROM issued WHERE serial_id = `+idOf), want: "the row that says it was issued was deleted"},
		"an intended certificate":         {do: onSerial(5, `DELETE FROM issued WHERE serial_id = `+idOf), want: "the row that says it was issued was deleted"},
		"an imported revocation undone":   {do: onSerial(6, `DELETE FROM revocations WHERE serial_id = `+idOf), want: "the row of the certificate's revocation was deleted"},
		"an imported revocation":          {do: onSerial(6, `UPDATE revocations SET revoked_at = 1 WHERE serial_id = `+idOf), want: "and the last leaf of it left"},
		"an imported act":                 {do: statements(`UPDATE acts SET recorded_at = 1 WHERE name = 'forgotten'`), want: "the row of act CertificateRevocation/people/forgotten was changed"},
		"an imported abandonment":         {do: onSerial(9, `DELETE FROM revocations WHERE serial_id = `+idOf), want: "the row of the certificate's revocation was deleted"},
		"a raised number":                 {do: statements(`UPDATE crl_numbers SET last = last - 1`), want: "its last number is"},
		"content that has not expired":    {do: content(0), want: "its content was removed"},
		"expired content without a leaf":  {do: content(11), want: "2 are without content, and leaves of archives tell of 1"},
		"half of what an archive has":     {do: onSerial(10, `UPDATE serials SET tbs = $1 WHERE serial = $1`), want: "its request, name, shard, notAfter"},
		"a time of what an archive has":   {do: onSerial(10, `UPDATE issued SET issued_at = 1 WHERE serial_id = `+idOf), want: "its time was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := lose(t, tell(t, open(t), dev), restore)
			s.Unprotect(t)
			a.do(t, s)
			r := s.verify(t, audit.Options{})
			for _, f := range r.Findings {
				if a.want != "" && strings.Contains(f.String(), a.want) {
					return
				}
			}
			if !r.OK() || a.want != "" {
				t.Errorf("found %v, want one with %q", r.Findings, a.want)
			}
		})
	}
}

// content removes what the ledger has of a certificate, as an archive does.
func content(i int) func(*testing.T, *story) {
	return func(t *testing.T, s *story) {
		t.Helper()
		onSerial(i, `UPDATE serials SET tbs = NULL WHERE serial = $1`)(t, s)
		onSerial(i, `UPDATE issued SET tail = NULL WHERE serial_id = `+idOf)(t, s)
	}
}

// lose backs a ledger up in which serial 5 is intended, restores it, imports 5 to 9
// of which it knows nothing more, and archives 10, which expired as 11 did.
func lose(t *testing.T, s *story, restore func(*testing.T, io.Reader) Database) *story {
	t.Helper()
	ctx := t.Context()
	pending := s.intents(s.begin(t, "pending", 1))
	must(t, s.Store.RecordIntent(ctx, ca, pending))
	var file bytes.Buffer
	_, _, err := s.Store.Backup(ctx, &file, nil)
	must(t, err)
	later := s.intents(s.begin(t, "later", 4))
	must(t, s.Store.Close())

	s.Database = restore(t, &file)
	at := time.Now().Truncate(time.Second)
	lost := make([]authority.Lost, 0, 5)
	for _, in := range append(pending, later...) {
		s.serials = append(s.serials, in.Serial)
		lost = append(lost, authority.Lost{Issuer: ca, Serial: in.Serial, Shard: in.Shard, NotAfter: in.NotAfter, Identity: in.Identity,
			Certificate: pki.JoinCertificate(in.TBS, element("signature"))})
	}
	lost[1].Revocation = &authority.Revocation{At: at, Reason: pki.ReasonSuperseded}
	lost[3].Certificate, lost[3].Identity = nil, authority.Identity{}
	lost[4] = authority.Lost{Issuer: ca, Serial: lost[4].Serial, Shard: lost[4].Shard, NotAfter: lost[4].NotAfter, Revocation: &authority.Revocation{At: at, Reason: pki.ReasonCessationOfOperation}}
	_, err = s.Store.Import(ctx, "objects", lost, false)
	must(t, err)
	// The acts: one that a list told of before, with another time, and one that none did.
	for name, i := range map[string]int{"told": 6, "forgotten": 7} {
		_, err = s.Store.ImportAct(ctx, "objects", authority.Performed{RecordedAt: at, Act: authority.Act{Issuer: ca, Serial: s.serials[i], Verb: authority.VerbRevoke, Reason: pki.ReasonSuperseded,
			At: at.Add(time.Millisecond), Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "people", Name: name, Digest: sha256.Sum256([]byte(name))}}}, false)
		must(t, err)
	}
	for _, seen := range []int64{at.UnixNano() * 2, 1} {
		must(t, s.Store.RaiseCRLNumber(ctx, ca, 0, seen))
	}
	must(t, s.Store.Reconciled(ctx, map[string]string{"sources": "objects"}))

	s.ends = at.Add(-time.Hour)
	s.issue(t, "expired", 2)
	row := s.row(t, s.serials[10])
	must(t, s.Store.NoteArchive(ctx, map[string]string{"certificates": "1", "expiredBefore": at.UTC().Format(time.RFC3339)}))
	if n, err := s.Store.DropContent(ctx, at, []int64{1, row}); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	return s
}

// row is the number of a serial's row.
func (s *story) row(t *testing.T, serial pki.Serial) int64 {
	t.Helper()
	page, _, err := s.Store.Expired(t.Context(), time.Now().Add(time.Hour), 0, authority.MaxChanges)
	must(t, err)
	for _, a := range page {
		if a.Record.Serial == serial {
			return a.Row
		}
	}
	t.Fatalf("serial %s is not among %d that expire soon", serial, len(page))
	return 0
}
