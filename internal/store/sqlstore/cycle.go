package sqlstore

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxDER bounds one certificate, with its identity extensions.
const maxDER = 64 << 10

// insertSerials leaves out a serial, or a next attempt, that is there already.
// It takes the issuer and the time.
var insertSerials = bulk{
	before: `INSERT INTO serials (serial, shard, scope, name, digest, attempt, not_after, tbs, issuer, intended_at)
		SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, $1, $2 FROM (`,
	after:   `) AS v WHERE true ON CONFLICT DO NOTHING`,
	fixed:   2,
	columns: []string{"BYTES", "BIGINT", "BIGINT", "TEXT", "BYTES", "BIGINT", "BIGINT", "BYTES"},
}

// insertAttempts takes the process.
var insertAttempts = bulk{
	before:  `INSERT INTO attempts (serial_id, process) SELECT s.id, $1 FROM (`,
	after:   `) AS v JOIN serials s ON s.serial = v.column1`,
	fixed:   1,
	columns: []string{"BYTES"},
}

// findAttempts finds what a process has Intended under an issuer.
var findAttempts = bulk{
	before:  `SELECT v.column1, s.id, s.tbs FROM (`,
	after:   `) AS v JOIN serials s ON s.serial = v.column2 JOIN attempts p ON p.serial_id = s.id WHERE s.issuer = $1 AND p.process = $2`,
	fixed:   2,
	columns: []string{"BIGINT", "BYTES"},
}

var deleteAttempts = bulk{
	before:  `DELETE FROM attempts WHERE serial_id IN (`,
	after:   `)`,
	columns: []string{"BIGINT"},
}

var insertIssued = bulk{
	before:  `INSERT INTO issued (serial_id, tail, issued_at) SELECT v.column1, v.column2, $1 FROM (`,
	after:   `) AS v`,
	fixed:   1,
	columns: []string{"BIGINT", "BYTES"},
}

// RecordIntent records what is about to be signed; see [authority.Ledger].
func (s *Store) RecordIntent(ctx context.Context, issuer authority.IssuerKey, intents []authority.Intent) error {
	const operation = "record intent"
	if err := checkIntents(intents); err != nil {
		return s.failed(operation, err)
	}
	// Always in the same order, so that two calls do not lock each other out.
	intents = slices.SortedFunc(slices.Values(intents), func(a, b authority.Intent) int {
		return cmp.Or(cmp.Compare(a.Identity.Kind, b.Identity.Kind), cmp.Compare(a.Identity.Namespace, b.Identity.Namespace), cmp.Compare(a.Identity.Name, b.Identity.Name))
	})
	issuerID, err := s.makeID(ctx, issuerRow(issuer))
	if err != nil {
		return s.failed(operation, err)
	}
	scopes := make([]int64, len(intents))
	told := make(detail, len(intents))
	for i, in := range intents {
		if scopes[i], err = s.makeID(ctx, scopeRow(in.Identity)); err != nil {
			return s.failed(operation, err)
		}
		told[string(in.Serial)] = intentSum(in)
	}
	// Die before the commit: nothing is recorded and nothing is signed. Die
	// after: the next takeover abandons the serials.
	return s.acting(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		n, err := s.exec(ctx, tx, &insertSerials, len(intents), func(args []any, i int) []any {
			in := &intents[i]
			return append(args, octets(in.Serial), int64(in.Shard), scopes[i], in.Identity.Name, in.Identity.Digest[:], int64(in.Attempt), in.NotAfter.UnixMicro(), in.TBS)
		}, issuerID, now)
		if err != nil {
			return err
		}
		if n != int64(len(intents)) {
			return fmt.Errorf("of %d serials or attempts %d are there already: %w", len(intents), int64(len(intents))-n, authority.ErrElsewhere)
		}
		_, err = s.exec(ctx, tx, &insertAttempts, len(intents), func(args []any, i int) []any { return append(args, octets(intents[i].Serial)) }, s.process)
		if err != nil {
			return err
		}
		_, err = s.tell(ctx, tx, now, []leaf{{actIntent, issuerName(issuer), told}})
		return err
	})
}

func checkIntents(intents []authority.Intent) error {
	if err := checkSlice("intents", len(intents)); err != nil {
		return err
	}
	for _, in := range intents {
		if err := bounded("to-be-signed certificate", len(in.TBS), maxDER); err != nil {
			return fmt.Errorf("serial %s: %w", in.Serial, err)
		}
		if _, err := micros("notAfter", in.NotAfter); err != nil {
			return fmt.Errorf("serial %s: %w", in.Serial, err)
		}
		if in.Attempt < 1 {
			return fmt.Errorf("serial %s: attempt %d: counts from 1", in.Serial, in.Attempt)
		}
	}
	return checkIdentities(len(intents), func(i int) authority.Identity { return intents[i].Identity })
}

// intentSum is a digest of all that an intent says, for its audit leaf. Its form
// stays as it is.
func intentSum(in authority.Intent) string {
	h := sm3.New()
	// Quoted, so that no field runs into the next.
	fmt.Fprintf(h, "terrace/intent/v1 %q %q %q %x %d %d ", in.Identity.Kind, in.Identity.Namespace, in.Identity.Name, in.Identity.Digest, in.Shard, in.NotAfter.UnixMicro())
	h.Write(in.TBS)
	return hex.EncodeToString(h.Sum(nil))
}

// RecordIssued makes Intended serials Issued; see [authority.Ledger].
func (s *Store) RecordIssued(ctx context.Context, issuer authority.IssuerKey, issued []authority.Issued) error {
	const operation = "record issued certificates"
	if err := checkSlice("certificates", len(issued)); err != nil {
		return s.failed(operation, err)
	}
	serials := make([]pki.Serial, len(issued))
	signed, tails := make([][]byte, len(issued)), make([][]byte, len(issued))
	told := make(detail, len(issued))
	for i, is := range issued {
		err := bounded("certificate", len(is.Certificate), maxDER)
		if err == nil {
			signed[i], tails[i], err = pki.SplitCertificate(is.Certificate)
		}
		if err != nil {
			return s.failed(operation, fmt.Errorf("serial %s: %w", is.Serial, err))
		}
		serials[i] = is.Serial
		told[string(is.Serial)] = fingerprint(is.Certificate)
	}
	// Die before the commit: the next takeover abandons the serials, and the
	// certificates are never delivered. Die after: the next Begin returns them.
	return s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		ids, err := s.takeAttempts(ctx, tx, issuer, serials, func(i int, tbs []byte) error {
			if !bytes.Equal(tbs, signed[i]) {
				return fmt.Errorf("serial %s: the certificate is not over what was intended", serials[i])
			}
			return nil
		})
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, tx, &insertIssued, len(issued), func(args []any, i int) []any { return append(args, ids[i], tails[i]) }, now)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE issuers SET issued = issued + $1 WHERE authority = $2 AND generation = $3`, len(issued), issuer.Authority, issuer.Generation)
		if err != nil {
			return fmt.Errorf("count issued serials: %w", err)
		}
		_, err = s.tell(ctx, tx, now, []leaf{{actIssue, issuerName(issuer), told}}, aboutSerials(ids)...)
		return err
	})
}

// takeAttempts ends the attempts of this process under the serials and returns
// the ids of their rows; ErrState when one is not Intended by it. check sees the TBS of each, for
// the time of the call.
func (s *Store) takeAttempts(ctx context.Context, tx *sql.Tx, issuer authority.IssuerKey, serials []pki.Serial, check func(i int, tbs []byte) error) ([]int64, error) {
	issuerID, err := s.idOf(ctx, issuerRow(issuer))
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(serials))
	found := make(map[int64]struct{}, len(serials))
	err = s.query(ctx, tx, &findAttempts, len(serials), func(args []any, i int) []any {
		return append(args, int64(i), octets(serials[i]))
	}, func(rows *sql.Rows) error {
		var i, id int64
		var tbs sql.RawBytes
		if err := rows.Scan(&i, &id, &tbs); err != nil {
			return err
		}
		ids[i] = id
		found[id] = struct{}{}
		return check(int(i), tbs)
	}, issuerID, s.process)
	if err != nil {
		return nil, err
	}
	if len(found) != len(serials) {
		return nil, s.refuse(ctx, tx, issuer, serials, ids)
	}
	n, err := s.exec(ctx, tx, &deleteAttempts, len(ids), func(args []any, i int) []any { return append(args, ids[i]) })
	if err == nil && n != int64(len(ids)) {
		err = fmt.Errorf("another call ended %d of %d attempts: %w", int64(len(ids))-n, len(ids), authority.ErrState)
	}
	return ids, err
}

// refuse says which serial this process has not Intended: its id is 0.
func (s *Store) refuse(ctx context.Context, tx *sql.Tx, issuer authority.IssuerKey, serials []pki.Serial, ids []int64) error {
	for i, serial := range serials {
		if ids[i] != 0 {
			continue
		}
		r, err := oneRecord(ctx, tx, `WHERE s.serial = $1 AND a.authority = $2 AND a.generation = $3`, octets(serial), issuer.Authority, issuer.Generation)
		switch {
		case err == nil && r.State == authority.StateIntended:
			return fmt.Errorf("serial %s of %s is Intended by another process: %w", serial, issuerName(issuer), authority.ErrElsewhere)
		case err == nil:
			return fmt.Errorf("serial %s of %s is %s, not Intended: %w", serial, issuerName(issuer), r.State, authority.ErrState)
		}
		return fmt.Errorf("serial %.48q of %s is not in the ledger: %w", serial, issuerName(issuer), authority.ErrState)
	}
	return fmt.Errorf("a serial of %s stands twice in the slice: %w", issuerName(issuer), authority.ErrState)
}

// Abandon moves one serial from Intended to Abandoned; see [authority.Ledger].
func (s *Store) Abandon(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) error {
	return s.fenced(ctx, "abandon serial", func(ctx context.Context, tx *sql.Tx) error {
		ids, err := s.takeAttempts(ctx, tx, issuer, []pki.Serial{serial}, func(int, []byte) error { return nil })
		if err != nil {
			return err
		}
		return s.abandon(ctx, tx, ids, []pki.Serial{serial}, "call")
	})
}

// abandon puts serials, whose attempts have ended, on the CRL: the device may have
// signed under them.
func (s *Store) abandon(ctx context.Context, tx *sql.Tx, ids []int64, serials []pki.Serial, cause string) error {
	now := s.now()
	leaves := make([]leaf, len(ids))
	for i, serial := range serials {
		leaves[i] = leaf{actAbandon, serialSubject(string(serial)), detail{"cause": cause}}
	}
	seq, err := s.tell(ctx, tx, now, leaves, aboutSerials(ids)...)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := revoke(ctx, tx, id, now, pki.ReasonCessationOfOperation, seq+int64(i)); err != nil {
			return err
		}
	}
	return nil
}
