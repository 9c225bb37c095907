package storetest

import (
	"crypto/ecdsa"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// attack is what one does who owns the database, and a part of the finding that names it.
type attack struct {
	do   func(t *testing.T, s *story)
	want string
	// witness: a checkpoint was kept outside, and only it shows the attack.
	witness bool
}

// statements runs each in turn.
func statements(all ...string) func(*testing.T, *story) {
	return func(t *testing.T, s *story) {
		t.Helper()
		for _, statement := range all {
			if s.Exec(t, statement) == 0 {
				t.Fatalf("%s: changed nothing, so the test shows nothing", statement)
			}
		}
	}
}

// onSerial runs a statement about one serial, by its place in the order of issuance.
func onSerial(i int, statement string) func(*testing.T, *story) {
	return func(t *testing.T, s *story) {
		t.Helper()
		if s.Exec(t, statement, octets(t, s.serials[i])) == 0 {
			t.Fatalf("%s: changed nothing", statement)
		}
	}
}

const idOf = `(SELECT id FROM serials WHERE serial = $1)`

var attacks = map[string]attack{
	"a leaf's detail":  {do: statements(`UPDATE audit_leaves SET detail = '{}' WHERE seq = 4`), want: "leaf 4 (intent BusinessCA/tier/people/g1): its content does not give the hash in the tree"},
	"a leaf's time":    {do: statements(`UPDATE audit_leaves SET at = at + 1 WHERE seq = 6`), want: "leaf 6 (revoke serial/"},
	"a leaf's subject": {do: statements(`UPDATE audit_leaves SET subject = 'serial/00' WHERE act = 'revoke'`), want: "(revoke serial/00): its content does not give the hash"},
	"a leaf deleted":   {do: statements(`DELETE FROM audit_leaves WHERE seq = 6`), want: "leaves 6: are missing"},
	"two leaves swapped": {do: statements(`UPDATE audit_leaves SET seq = 100 WHERE seq = 6`, `UPDATE audit_leaves SET seq = 6 WHERE seq = 7`, `UPDATE audit_leaves SET seq = 7 WHERE seq = 100`),
		want: "leaf 6 (hold serial/"},
	"a leaf added": {do: statements(`INSERT INTO audit_leaves SELECT seq + 1, at, act, subject, detail FROM audit_leaves WHERE seq = (SELECT MAX(seq) FROM audit_leaves)`), want: "leaves were added"},
	"a leaf and its node": {do: func(t *testing.T, s *story) {
		statements(`UPDATE audit_leaves SET subject = 'accepted/other' WHERE seq = 3`)(t, s)
		s.retree(t)
	}, want: "leaves from 1 to 8 were changed after they were signed, and the tree with them"},
	"a node of the tree": {do: statements(`UPDATE audit_nodes SET hash = (SELECT hash FROM audit_nodes WHERE level = 0 AND number = 0) WHERE level = 1 AND number = 1`), want: "tree node 1 of level 1: is not the hash"},
	"the tail":           {do: statements(`DELETE FROM audit_leaves WHERE seq > 8`), want: "its last leaf is 8, and it gave numbers up to"},
	"the tail and the count": {do: statements(`DELETE FROM audit_leaves WHERE seq > 8`, `UPDATE heads SET audit = 8`),
		want: "and the ledger ends with leaf 8: the tail was cut"},
	"everything since the witness": {do: rollBack, want: "and the ledger ends with leaf 9: the tail was cut", witness: true},
	"a checkpoint's root": {do: func(t *testing.T, s *story) {
		forged := s.witness
		forged.Root[0] ^= 1
		s.keep(t, forged)
	}, want: "checkpoint in the ledger over 8 leaves: no audit key made its signature: it is forged"},
	"a checkpoint by another key": {do: func(t *testing.T, s *story) {
		forged, err := audit.Sign(newKey(t), s.witness.Checkpoint)
		must(t, err)
		s.keep(t, forged)
	}, want: "checkpoint in the ledger over 8 leaves: no audit key made its signature: it is forged"},
	"a checkpoint that is garbage": {do: func(t *testing.T, s *story) {
		s.Exec(t, `INSERT INTO audit_checkpoints (size, at, text) VALUES (2, 1, $1)`, []byte("garbage"))
	}, want: "checkpoint in the ledger over 2 leaves"},
	"all checkpoints": {do: statements(`DELETE FROM audit_checkpoints`), want: "no checkpoint covers them"},

	"a certificate":           {do: onSerial(0, `UPDATE issued SET tail = NULL WHERE serial_id = `+idOf), want: "its content was removed"},
	"a certificate's tail":    {do: onSerial(0, `UPDATE issued SET tail = (SELECT tbs FROM serials WHERE serial = $1)`), want: "its certificate was changed (leaf 5"},
	"a to-be-signed content":  {do: onSerial(0, `UPDATE serials SET tbs = serial WHERE serial = $1`), want: "or to-be-signed certificate was changed (leaf 4"},
	"an identity":             {do: onSerial(1, `UPDATE serials SET name = 'other' WHERE serial = $1`), want: "its request, name, shard, notAfter"},
	"a notAfter":              {do: onSerial(1, `UPDATE serials SET not_after = not_after + 1 WHERE serial = $1`), want: "its request, name, shard, notAfter"},
	"the time of an issuance": {do: onSerial(2, `UPDATE issued SET issued_at = issued_at - 1 WHERE serial_id = `+idOf), want: "its time was changed"},
	"a certificate deleted":   {do: onSerial(2, `DELETE FROM issued WHERE serial_id = `+idOf), want: "the row that says it was issued was deleted"},
	"a serial deleted":        {do: onSerial(2, `DELETE FROM serials WHERE serial = $1`), want: "its row was deleted"},
	"two certificates swapped": {do: statements(`UPDATE issued SET serial_id = -1 WHERE serial_id = 1`, `UPDATE issued SET serial_id = 1 WHERE serial_id = 2`, `UPDATE issued SET serial_id = 2 WHERE serial_id = -1`),
		want: "its certificate was changed (leaf 5"},
	"a certificate added": {do: func(t *testing.T, s *story) {
		s.Exec(t, `INSERT INTO serials (serial, issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs) SELECT $1, issuer, shard, scope, 'ghost', digest, 1, not_after, intended_at, tbs FROM serials WHERE id = 1`, []byte{1, 2, 3})
	}, want: "serial 010203: is in the ledger, and no leaf tells of it"},
	"the count of an issuer": {do: statements(`UPDATE issuers SET issued = issued - 1`), want: "numbers of issued certificates of all issuers: are 4, want 5"},

	"an act":                  {do: statements(`UPDATE acts SET reason = 1 WHERE name = 'leave'`), want: "the row of act CertificateRevocation/people/leave was changed"},
	"who asked for an act":    {do: statements(`UPDATE acts SET operator = 'wang' WHERE name = 'leave'`), want: "the row of act CertificateRevocation/people/leave was changed"},
	"an act deleted":          {do: statements(`DELETE FROM acts WHERE name = 'leave'`), want: "the row of act CertificateRevocation/people/leave was deleted"},
	"an act added":            {do: statements(`INSERT INTO acts (kind, namespace, name, digest, authority, generation, serial, verb, reason, at, refusal, recorded_at, operator) SELECT kind, namespace, 'ghost', digest, authority, generation, serial, verb, reason, at, refusal, recorded_at, operator FROM acts WHERE name = 'leave'`), want: "acts: are 5, want 4"},
	"a revocation undone":     {do: onSerial(0, `DELETE FROM revocations WHERE serial_id = `+idOf), want: "the row of the certificate's revocation was deleted"},
	"a revocation made":       {do: onSerial(2, `INSERT INTO revocations SELECT id, issuer, shard, serial, not_after, 1, 1, 1 FROM serials WHERE serial = $1`), want: "it is revoked or on hold, and no act did that"},
	"a reason":                {do: onSerial(0, `UPDATE revocations SET reason = 8 WHERE serial_id = `+idOf), want: "the row of its revocation was changed: it has reason"},
	"a revocation's notAfter": {do: onSerial(0, `UPDATE revocations SET not_after = 1 WHERE serial_id = `+idOf), want: "it names another issuer, shard, serial or notAfter"},
	"an abandoned serial":     {do: statements(`UPDATE revocations SET revoked_at = 1 WHERE reason = 5`), want: "or was abandoned at another time"},

	"a spec":           {do: statements(`UPDATE accepted SET spec = (SELECT public_key FROM device_keys WHERE owner = 'BusinessCA/tier/people') WHERE name = 'BusinessCA/tier/people'`), want: "accepted spec BusinessCA/tier/people: was changed"},
	"a spec deleted":   {do: statements(`DELETE FROM accepted WHERE name = 'BusinessCA/tier/people'`), want: "accepted spec BusinessCA/tier/people: was deleted"},
	"a spec added":     {do: statements(`INSERT INTO accepted SELECT 'BusinessCA/tier/ghost', spec FROM accepted WHERE name = 'BusinessCA/tier/people'`), want: "accepted spec BusinessCA/tier/ghost: no leaf tells of it"},
	"a key":            {do: statements(`UPDATE device_keys SET public_key = (SELECT k.public_key FROM device_keys k WHERE k.owner LIKE 'AuditLog/%') WHERE owner = 'BusinessCA/tier/people'`), want: "(key key/BusinessCA/tier/people/g1): the key's row was changed"},
	"a list":           {do: statements(`UPDATE crls SET der = (SELECT public_key FROM device_keys WHERE owner = 'BusinessCA/tier/people')`), want: "no leaf tells of this list"},
	"a number of CRLs": {do: statements(`UPDATE crl_numbers SET last = last - 1`), want: "its last number is"},
	"a mark":           {do: statements(`UPDATE audit_marks SET note = 'nothing seen'`), want: "signature of auditor auditor-1 does not verify"},
	"a mark deleted":   {do: statements(`DELETE FROM audit_marks`), want: "the mark's row was deleted"},
}

// Audit runs the attacks, each on a fresh ledger, and sees that Verify names each.
func Audit(t *testing.T, open func(t *testing.T) Database) {
	dev := openDevice(t)
	t.Run("nothing was done", func(t *testing.T) {
		s := tell(t, open(t), dev)
		people := audit.People{"auditor-1": &s.auditor.PublicKey, "officer-1": &s.officer.PublicKey}
		r := s.verify(t, audit.Options{Witnesses: []audit.Witness{{From: "witness", Signed: s.witness}}, People: people})
		if !r.OK() || r.Leaves != r.Signed || r.Witnesses != 1 || r.Marks != 1 {
			t.Errorf("%+v", r)
		}
		for name, other := range map[string]audit.People{"auditor": {"auditor-1": &newKey(t).PublicKey}, "officer": {"officer-1": &newKey(t).PublicKey}} {
			if r := s.verify(t, audit.Options{People: other}); len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Problem, "signed with another key than that of") {
				t.Errorf("with another key of the %s: %v", name, r.Findings)
			}
		}
		spki := []audit.Key{{Label: "another", PublicKey: mustSPKI(t, &newKey(t).PublicKey)}}
		if r := s.verify(t, audit.Options{Keys: spki}); r.OK() {
			t.Error("checkpoints verify with a key that did not make them")
		}
	})
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			s := tell(t, open(t), dev)
			s.Unprotect(t)
			a.do(t, s)
			if a.witness {
				if r := s.verify(t, audit.Options{}); !r.OK() {
					t.Errorf("without a witness: %v; the attack is not what the test is about", r.Findings)
				}
			}
			o := audit.Options{Now: time.Now().Add(time.Hour), Witnesses: []audit.Witness{{From: "witness", Signed: s.witness}, {From: "witness", Signed: s.last}}}
			r := s.verify(t, o)
			for _, f := range r.Findings {
				if strings.Contains(f.String(), a.want) {
					return
				}
			}
			t.Errorf("found %v, want one with %q", r.Findings, a.want)
		})
	}
	t.Run("marks beside a process", func(t *testing.T) { marksBeside(t, tell(t, open(t), dev)) })
	t.Run("goes on after a crash", func(t *testing.T) { goesOn(t, tell(t, open(t), dev)) })
	t.Run("search", func(t *testing.T) { search(t, tell(t, open(t), dev)) })
}

func mustSPKI(t *testing.T, pub *ecdsa.PublicKey) []byte {
	t.Helper()
	b, err := pki.MarshalSPKI(pub)
	must(t, err)
	return b
}
