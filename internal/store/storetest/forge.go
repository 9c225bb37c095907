package storetest

import (
	"testing"

	"github.com/terrace-pki/terrace/internal/audit"
)

// keep puts a checkpoint into the ledger.
func (s *story) keep(t *testing.T, c audit.Signed) {
	t.Helper()
	s.Exec(t, `DELETE FROM audit_checkpoints WHERE size = $1`, c.Size)
	s.Exec(t, `INSERT INTO audit_checkpoints (size, at, text) VALUES ($1, $2, $3)`, c.Size, c.At.UnixMicro(), c.Text())
}

// retree makes the tree anew from the leaves, as one does who knows how it is made.
func (s *story) retree(t *testing.T) {
	t.Helper()
	var edge audit.Edge
	leaves, err := s.Store.AuditLeaves(t.Context(), 0, audit.MaxPage)
	must(t, err)
	for _, l := range leaves {
		for _, n := range edge.Append(l.Hash()) {
			s.Exec(t, `UPDATE audit_nodes SET hash = $1 WHERE level = $2 AND number = $3`, n.Hash[:], n.Level, n.Number)
		}
	}
}

// rollBack puts everything back to what it was after the first checkpoint, as an
// older copy of the database does.
func rollBack(t *testing.T, s *story) {
	t.Helper()
	const after = ` WHERE serial_id > 3`
	for _, statement := range []string{
		`DELETE FROM audit_leaves WHERE seq > 9`, `UPDATE heads SET audit = 9`,
		`DELETE FROM audit_nodes WHERE level = 0 AND number >= 8`, `DELETE FROM audit_nodes WHERE level = 1 AND number >= 4`,
		`DELETE FROM audit_nodes WHERE level = 2 AND number >= 2`, `DELETE FROM audit_nodes WHERE level = 3 AND number >= 1`, `DELETE FROM audit_nodes WHERE level > 3`,
		`DELETE FROM audit_checkpoints`, `DELETE FROM audit_marks`,
		`DELETE FROM acts WHERE name = 'back'`, `DELETE FROM revocations` + after, `DELETE FROM issued` + after, `DELETE FROM serials WHERE id > 3`,
		`UPDATE revocations SET reason = 6, revoked_at = (SELECT a.at FROM acts a WHERE a.name = 'wait') WHERE serial_id = 2`,
		`UPDATE issuers SET issued = 3`, `DELETE FROM crls`, `DELETE FROM crl_numbers`, `DELETE FROM accepted WHERE name LIKE 'Decision/%'`,
	} {
		s.Exec(t, statement)
	}
	s.keep(t, s.witness)
}
