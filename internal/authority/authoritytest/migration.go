package authoritytest

import (
	"bytes"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Version1 checks that a ledger which release 1 left is taken over with all that
// it holds. exec runs a statement on an empty database, whose schema is that of
// version 1 afterwards by its migration; open takes the ledger over.
func Version1(t *testing.T, migration string, exec func(t *testing.T, statement string, args ...any), open func(t *testing.T) Database) {
	t.Helper()
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	micros, later := at.UnixMicro(), at.AddDate(1, 0, 0).UnixMicro()
	exec(t, migration)
	exec(t, `CREATE TABLE schema_version (version BIGINT PRIMARY KEY)`)
	exec(t, `INSERT INTO schema_version (version) VALUES (1)`)
	exec(t, `UPDATE ledger_epoch SET epoch = 1`)
	for name := range 4 {
		exec(t, `INSERT INTO identities (kind, namespace, name, digest) VALUES ('CertificateRequest', 'people', $1, $2)`,
			string(rune('a'+name)), bytes.Repeat([]byte{byte(name)}, 32))
	}
	const columns = `INSERT INTO serials (serial, identity, authority, generation, shard, state, epoch, tbs, certificate, not_after, reserved_at, intended_at, issued_at, revoked_at, reason)
		SELECT $1, id, 'BusinessCA/tier/people', 1, 0, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10 FROM identities WHERE name = $11`
	exec(t, columns, "01AA", "Issued", nil, []byte("certificate A"), later, micros, micros, micros, nil, nil, "a")
	exec(t, columns, "01BB", "Abandoned", []byte("tbs"), nil, later, micros, micros, nil, micros, 5, "b")
	exec(t, columns, "01CC", "Issued", nil, []byte("certificate C"), later, micros, micros, micros, micros, 1, "c")
	exec(t, columns, "01DD", "Intended", []byte("tbs"), nil, later, micros, micros, nil, nil, nil, "d")
	for _, serial := range []string{"01CC", "01AA"} {
		exec(t, `INSERT INTO outbox (kind, serial, state, created_at) VALUES ('CertificateIssued', $1, 'Pending', $2)`, serial, micros)
		exec(t, `INSERT INTO audit_leaves (at, act, subject, detail) VALUES ($1, 'issue', $2, '{}')`, micros, "serial/"+serial)
	}
	exec(t, `INSERT INTO accepted (name, spec) VALUES ('BusinessCA/tier/people/g1', $1)`, []byte("{}"))
	for number := range 2 {
		exec(t, `INSERT INTO crls (authority, generation, shard, number, this_update, next_update, der) VALUES ('BusinessCA/tier/people', 1, 0, $1, $2, $3, $4)`,
			number+7, micros, later, []byte("list"))
	}

	d := open(t)
	if n, err := d.Store.Count(t.Context(), issuer); err != nil || n != 2 {
		t.Errorf("count: %d, %v, want 2", n, err)
	}
	if n := sequence(t, d.Store, 3); n != 6 {
		t.Errorf("%d changes, want 6: a spec, two issued, one abandoned before, one now, a list", n)
	}
	type told struct {
		kind   authority.ChangeKind
		serial pki.Serial
		state  authority.State
		reason pki.Reason
	}
	var got []told
	all, _ := changes(t, d.Store, 0, 100)
	for _, c := range all {
		x := told{kind: c.Kind}
		if c.Record != nil {
			x.serial, x.state = c.Record.Serial, c.Record.State
			if c.Record.Revocation != nil {
				x.reason = c.Record.Revocation.Reason
			}
		}
		got = append(got, x)
	}
	want := []told{{kind: authority.ChangeAccepted}, {authority.ChangeSerial, "01CC", authority.StateIssued, pki.ReasonKeyCompromise},
		{authority.ChangeSerial, "01AA", authority.StateIssued, 0}, {authority.ChangeSerial, "01BB", authority.StateAbandoned, pki.ReasonCessationOfOperation},
		{kind: authority.ChangeCRL}, {authority.ChangeSerial, "01DD", authority.StateAbandoned, pki.ReasonCessationOfOperation}}
	if len(got) != len(want) {
		t.Fatalf("changes %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("change %d: %+v, want %+v", i+1, got[i], want[i])
		}
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_leaves WHERE act = 'issue' AND id IN (1, 2)`); n != 2 {
		t.Errorf("%d of 2 audit leaves are left", n)
	}
	if p := perform(t, d.Store, act("hold", authority.VerbHold, "01AA")); p.Refusal != "" {
		t.Errorf("hold after the migration: %q", p.Refusal)
	}
}
