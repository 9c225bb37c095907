package authoritytest

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/backup"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Restorable is a database whose backups can be restored.
type Restorable struct {
	Database
	// Restore makes another database from a backup and opens it.
	Restore func(t *testing.T, file io.Reader) Database
}

// Recovery runs the suite of backup, restore, reconciliation and archive.
func Recovery(t *testing.T, open func(t *testing.T) Restorable) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Restorable){
		"a backup holds every row":              BackupHoldsAll,
		"a restored ledger waits":               restoredWaits,
		"import brings back what was lost":      importBrings,
		"import keeps to the ledger":            importKeeps,
		"imported acts are done once":           importActs,
		"reconciled closes what stays Intended": reconciledCloses,
		"archived content is gone alone":        archivedContent,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// save returns a backup and its rows by table.
func save(t *testing.T, s authority.Store) (file []byte, rows map[string][][]any) {
	t.Helper()
	var out bytes.Buffer
	m, _, err := s.(backup.Source).Backup(t.Context(), &out, nil)
	must(t, err)
	rows = map[string][][]any{}
	var table string
	read, _, err := backup.Read(bytes.NewReader(out.Bytes()), backup.Visitor{
		Table: func(b backup.Table) error { table = b.Name; return nil },
		Row: func(row []any) error {
			kept := slices.Clone(row)
			for i, v := range kept {
				if b, ok := v.([]byte); ok {
					kept[i] = bytes.Clone(b)
				}
			}
			rows[table] = append(rows[table], kept)
			return nil
		}})
	must(t, err)
	equal(t, "manifest", read, m)
	return out.Bytes(), rows
}

func recovery(s authority.Store) authority.Recovery { return s.(authority.Recovery) }

// BackupHoldsAll saves d, restores it, compares the rows, and goes on with what was restored.
func BackupHoldsAll(t *testing.T, d Restorable) {
	serials := issue(t, d.Store, expiry, identities("kept", authority.MaxSlice)...)
	perform(t, d.Store, act("hold", authority.VerbHold, serials[0]))
	abandonOne(t, d.Store)
	must(t, d.Store.Accept(t.Context(), authority.Accepted{Name: "BusinessCA/a/b", Spec: []byte(`{"名":1}`)}))
	must(t, d.Store.RecordKey(t.Context(), authority.Key{Owner: "o/a/b", Generation: 1, Device: "a/hsm", Label: "l", PublicKey: []byte{1}}))
	must(t, d.Store.SetPosition(t.Context(), "directory/a/b", 3))
	number, err := d.Store.ReserveCRLNumber(t.Context(), issuer, 0, time.Now())
	must(t, err)
	must(t, d.Store.SaveCRL(t.Context(), authority.CRL{Issuer: issuer, Number: number, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour), DER: []byte{0x30, 0}}))
	file, before := save(t, d.Store)
	next := d.Restore(t, bytes.NewReader(file))
	_, after := save(t, next.Store)
	for table, rows := range before {
		switch table {
		case "processes", "heads": // the restore, and who opened it
		case "audit_leaves":
			equal(t, table, after[table][:len(rows)], rows)
			equal(t, "further leaves", len(after[table])-len(rows), 2) // restore, takeover
		default:
			equal(t, table, after[table], rows)
		}
	}
	if last := len(before["processes"]); next.Count(t, `SELECT MAX(id) FROM processes`) < int64(last)+1000 {
		t.Error("a process of the lost ledger may find its number again")
	}
	// Every sort of row can be added again.
	must(t, recovery(next.Store).Reconciled(t.Context(), map[string]string{"sources": "none"}))
	issue(t, next.Store, expiry, identities("next", 3)...)
	must(t, next.Store.RecordIntent(t.Context(), otherIssuer, intents(expiry, begin(t, next.Store, authority.Identity{Kind: "New", Name: "x"})[0].Serial)))
	perform(t, next.Store, act("revoke", authority.VerbRevoke, serials[1]))
}

func abandonOne(t *testing.T, s authority.Store) pki.Serial {
	t.Helper()
	serial := begin(t, s, identity("abandoned"))[0].Serial
	must(t, s.RecordIntent(t.Context(), issuer, intents(expiry, serial)))
	must(t, s.Abandon(t.Context(), issuer, serial))
	return serial
}

// restored is a ledger from a backup of d.
func restored(t *testing.T, d Restorable) Database {
	t.Helper()
	file, _ := save(t, d.Store)
	return d.Restore(t, bytes.NewReader(file))
}

func restoredWaits(t *testing.T, d Restorable) {
	serial := issue(t, d.Store, expiry, identity("a"))[0]
	intended := begin(t, d.Store, identity("intended"))[0].Serial
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, intended)))
	s := restored(t, d).Store
	heads, err := s.Heads(t.Context())
	must(t, err)
	equal(t, "restored", heads.Restored, true)
	new := begin(t, s, identity("new"))[0].Serial
	wantError(t, "intent", s.RecordIntent(t.Context(), issuer, intents(expiry, new)), authority.ErrRestored)
	_, err = s.Perform(t.Context(), act("act", authority.VerbRevoke, serial))
	wantError(t, "act", err, authority.ErrRestored)
	_, err = s.ReserveCRLNumber(t.Context(), issuer, 0, time.Now())
	wantError(t, "CRL number", err, authority.ErrRestored)
	wantError(t, "CRL", s.SaveCRL(t.Context(), authority.CRL{Issuer: issuer, Number: 1, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour), DER: []byte{0x30, 0}}), authority.ErrRestored)
	// Who takes over closes nothing: it may have been issued.
	equal(t, "state", status(t, s, issuer, intended).State, authority.StateIntended)
	equal(t, "what was issued is adopted", begin(t, s, identity("a"))[0].State, authority.StateIssued)
	if _, err := recovery(d.Store).Import(t.Context(), "test", []authority.Lost{lostOf(new, identity("new"))}, false); err == nil {
		t.Error("a ledger that was not restored imports")
	}
}

func lostOf(serial pki.Serial, id authority.Identity) authority.Lost {
	return authority.Lost{Issuer: issuer, Serial: serial, NotAfter: expiry, Certificate: cert(serial), Identity: id}
}

func imports(t *testing.T, s authority.Store, dry bool, lost ...authority.Lost) []authority.Finding {
	t.Helper()
	found, err := recovery(s).Import(t.Context(), "test", lost, dry)
	must(t, err)
	out := make([]authority.Finding, len(found))
	for i, f := range found {
		out[i] = f.Finding
	}
	return out
}

func importBrings(t *testing.T, d Restorable) {
	known := issue(t, d.Store, expiry, identity("a"))[0]
	both := begin(t, d.Store, identity("b"), identity("intended"))
	b, intended := both[0].Serial, both[1].Serial
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, intended)))
	next := restored(t, d)
	s := next.Store
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	onlyStatus := authority.Lost{Issuer: issuer, Serial: "01AA", NotAfter: expiry}
	onList := authority.Lost{Issuer: otherIssuer, Serial: "01AB", Shard: 2, NotAfter: expiry, Revocation: &authority.Revocation{At: at, Reason: pki.ReasonCessationOfOperation}}
	revokedNow := lostOf(known, authority.Identity{})
	revokedNow.Revocation = &authority.Revocation{At: at, Reason: pki.ReasonKeyCompromise}
	lost := []authority.Lost{lostOf(b, identity("b")), lostOf(intended, authority.Identity{}), onlyStatus, onList, revokedNow}
	want := []authority.Finding{authority.FoundMissing, authority.FoundMissing, authority.FoundMissing, authority.FoundMissing, authority.FoundUnrevoked}
	head, err := s.Head(t.Context())
	must(t, err)
	equal(t, "dry", imports(t, s, true, lost...), want)
	equal(t, "imported", imports(t, s, false, lost...), want)
	equal(t, "again", slices.Compact(imports(t, s, false, lost...)), []authority.Finding{authority.FoundKnown})
	changes, _, err := s.Changes(t.Context(), head, 100)
	must(t, err)
	equal(t, "changes in the feed", len(changes), len(lost))
	equal(t, "leaves", next.Count(t, `SELECT COUNT(*) FROM audit_leaves WHERE act LIKE 'import%'`), int64(5)) // two issuers, what one issued, two revocations

	adopted := begin(t, s, identity("b"))[0]
	if adopted.State != authority.StateIssued || adopted.Serial != b || !bytes.Equal(adopted.Certificate, cert(b)) {
		t.Errorf("the request of b gets %+v", adopted.Record)
	}
	equal(t, "intended", begin(t, s, identity("intended"))[0].Serial, intended)
	equal(t, "revocation", status(t, s, issuer, known).Revocation, revokedNow.Revocation)
	r := status(t, s, issuer, onlyStatus.Serial)
	if r.State != authority.StateIssued || r.Certificate != nil || r.Revocation != nil || r.Identity.Kind != authority.KindRecovered {
		t.Errorf("a serial with its status alone is %+v", r)
	}
	r = status(t, s, otherIssuer, onList.Serial)
	equal(t, "a serial of a list", r.State, authority.StateAbandoned)
	must(t, recovery(s).Reconciled(t.Context(), map[string]string{}))
	count, err := s.Count(t.Context(), issuer)
	must(t, err)
	equal(t, "issued", count, int64(4))
	var listed []pki.Serial
	must(t, s.Revoked(t.Context(), otherIssuer, 2, time.Time{}, func(r authority.Record) error { listed = append(listed, r.Serial); return nil }))
	equal(t, "list", listed, []pki.Serial{"01AB"})
}

func importKeeps(t *testing.T, d Restorable) {
	a := issue(t, d.Store, expiry, identity("a"), identity("held"), identity("revoked"))
	abandoned := abandonOne(t, d.Store)
	perform(t, d.Store, act("hold", authority.VerbHold, a[1]))
	perform(t, d.Store, act("revoke", authority.VerbRevoke, a[2]))
	next := restored(t, d)
	s := next.Store
	other := identity("a")
	other.Digest[0]++
	taken, digest := lostOf("01C1", identity("a")), lostOf("01C2", other)
	hold := lostOf(a[2], authority.Identity{})
	hold.Revocation = &authority.Revocation{At: time.Now(), Reason: pki.ReasonCertificateHold}
	final := lostOf(a[1], authority.Identity{})
	final.Revocation = &authority.Revocation{At: time.Now(), Reason: pki.ReasonCACompromise}
	elsewhere := lostOf(a[0], identity("a"))
	elsewhere.Issuer = otherIssuer
	found, err := recovery(s).Import(t.Context(), "test", []authority.Lost{taken, digest, hold, final, lostOf(abandoned, identity("abandoned"))}, false)
	must(t, err)
	for i, want := range []authority.Found{{Finding: authority.FoundMissing, NameTaken: true}, {Finding: authority.FoundMissing, NameTaken: true}, {Finding: authority.FoundKnown},
		{Finding: authority.FoundUnrevoked}, {Finding: authority.FoundAbandoned}} {
		got := found[i]
		if want.NameTaken {
			equal(t, "kind", got.Identity.Kind, authority.KindRecovered)
		}
		got.Identity = authority.Identity{}
		equal(t, "finding", got, want)
	}
	equal(t, "of another issuer", imports(t, s, false, elsewhere), []authority.Finding{authority.FoundElsewhere})
	equal(t, "the request keeps its certificate", begin(t, s, identity("a"))[0].Serial, a[0])
	equal(t, "a revocation stays", status(t, s, issuer, a[2]).Revocation.Reason, act("revoke", authority.VerbRevoke, a[2]).Reason)
	equal(t, "a hold became one", status(t, s, issuer, a[1]).Revocation.Reason, pki.ReasonCACompromise)
	equal(t, "what was abandoned stays so", status(t, s, issuer, abandoned).State, authority.StateAbandoned)

	for name, l := range map[string]authority.Lost{
		"no issuer":         {Serial: "01", NotAfter: expiry},
		"no serial":         {Issuer: issuer, NotAfter: expiry},
		"no notAfter":       {Issuer: issuer, Serial: "01"},
		"no certificate":    {Issuer: issuer, Serial: "01", NotAfter: expiry, Certificate: []byte("x")},
		"reason of a delta": {Issuer: issuer, Serial: "01", NotAfter: expiry, Revocation: &authority.Revocation{At: expiry, Reason: pki.ReasonRemoveFromCRL}},
	} {
		if _, err := recovery(s).Import(t.Context(), "test", []authority.Lost{l}, false); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := recovery(s).Import(t.Context(), "test", []authority.Lost{taken, taken}, false); err == nil {
		t.Error("a serial twice: taken")
	}
}

func importActs(t *testing.T, d Restorable) {
	serials := issue(t, d.Store, expiry, identity("a"), identity("b"))
	s := restored(t, d).Store
	done := authority.Performed{Act: act("revoke-a", authority.VerbRevoke, serials[0]), RecordedAt: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	refused := authority.Performed{Act: act("release-b", authority.VerbRelease, serials[1]), RecordedAt: done.RecordedAt, Refusal: authority.RefusedNotHeld}
	unknown := authority.Performed{Act: act("x", authority.VerbRevoke, "01DD"), RecordedAt: done.RecordedAt}
	for _, step := range []struct{ dry, missing bool }{{true, true}, {false, true}, {false, false}, {true, false}} {
		for _, p := range []authority.Performed{done, refused} {
			missing, err := recovery(s).ImportAct(t.Context(), "test", p, step.dry)
			must(t, err)
			equal(t, "missing", missing, step.missing)
		}
	}
	_, err := recovery(s).ImportAct(t.Context(), "test", unknown, false)
	wantError(t, "of an unknown serial", err, authority.ErrNotFound)
	equal(t, "revoked", status(t, s, issuer, serials[0]).Revocation.Reason, done.Reason)
	if r := status(t, s, issuer, serials[1]).Revocation; r != nil {
		t.Errorf("a refused act did something: %+v", r)
	}
	must(t, recovery(s).Reconciled(t.Context(), map[string]string{}))
	again := perform(t, s, done.Act)
	if !again.Adopted || again.Refusal != "" || !again.RecordedAt.Equal(done.RecordedAt) {
		t.Errorf("the object gets %+v", again)
	}
	equal(t, "refusal", perform(t, s, refused.Act).Refusal, authority.RefusedNotHeld)
}

func reconciledCloses(t *testing.T, d Restorable) {
	intended := begin(t, d.Store, identity("intended"))[0].Serial
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, intended)))
	wantError(t, "a ledger that was not restored", recovery(d.Store).Reconciled(t.Context(), nil), authority.ErrState)
	next := restored(t, d)
	s := next.Store
	ahead := time.Now().Add(24 * time.Hour).UnixNano()
	must(t, recovery(s).RaiseCRLNumber(t.Context(), issuer, 0, ahead))
	must(t, recovery(s).RaiseCRLNumber(t.Context(), issuer, 0, 5))
	must(t, recovery(s).Reconciled(t.Context(), map[string]string{"sources": "none"}))
	equal(t, "state", status(t, s, issuer, intended).State, authority.StateAbandoned)
	wantError(t, "twice", recovery(s).Reconciled(t.Context(), nil), authority.ErrState)
	number, err := s.ReserveCRLNumber(t.Context(), issuer, 0, time.Now())
	must(t, err)
	equal(t, "next list", number, ahead+1)
	heads, err := s.Heads(t.Context())
	must(t, err)
	equal(t, "restored", heads.Restored, false)
	if again := begin(t, s, identity("intended"))[0]; again.Attempt != 2 || again.State != authority.StateDrawn {
		t.Errorf("the request gets %+v", again)
	}
}

func archivedContent(t *testing.T, d Restorable) {
	s, archiver := d.Store, d.Store.(authority.Archiver)
	old := time.Now().Add(time.Hour) // to be archived as if it were long after
	gone := issue(t, s, old, identities("old", 3)...)
	stays := issue(t, s, old.AddDate(5, 0, 0), identity("valid"))[0]
	abandonOne(t, s)
	perform(t, s, act("revoke", authority.VerbRevoke, gone[0]))
	before := old.Add(time.Hour)
	read := func() (rows []int64, serials []pki.Serial) {
		for after := int64(0); ; {
			page, next, err := archiver.Expired(t.Context(), before, after, 2)
			must(t, err)
			if next == after {
				return rows, serials
			}
			after = next
			for _, c := range page {
				rows, serials = append(rows, c.Row), append(serials, c.Serial)
				equal(t, "content", c.Certificate, cert(c.Serial))
			}
		}
	}
	rows, serials := read()
	equal(t, "expired", serials, gone)
	must(t, archiver.NoteArchive(t.Context(), map[string]string{"file": "a.pem"}))
	n, err := archiver.DropContent(t.Context(), before, append(rows, rows[0]+3)) // one that is valid as well
	must(t, err)
	equal(t, "dropped", n, int64(3))
	if rows, _ := read(); len(rows) > 0 {
		t.Errorf("rows %v are archived again", rows)
	}
	for i, serial := range gone {
		r := status(t, s, issuer, serial)
		if r.State != authority.StateIssued || r.Certificate != nil || (r.Revocation != nil) != (i == 0) {
			t.Errorf("after the archive: %+v", r)
		}
		equal(t, "begin", begin(t, s, r.Identity)[0].Serial, serial)
	}
	equal(t, "what is valid", status(t, s, issuer, stays).Certificate, cert(stays))
	if _, err := d.Shared(t).(authority.Archiver).DropContent(t.Context(), before, rows); err == nil {
		t.Error("who only reads drops content")
	}
}
