package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxDER bounds one certificate, with its identity extensions.
const maxDER = 64 << 10

var recordIntent = bulk{
	before: `UPDATE serials SET state = 'Intended', intended_at = $1, epoch = $2, tbs = v.column2, not_after = v.column3 FROM (`,
	after: `) AS v WHERE serials.serial = v.column1 AND serials.state = 'Reserved' AND serials.withdrawn_at IS NULL
		AND serials.authority = $3 AND serials.generation = $4`,
	fixed:   4,
	columns: []string{"TEXT", "BYTES", "BIGINT"},
}

var recordIssued = bulk{
	before: `UPDATE serials SET state = 'Issued', issued_at = $1, epoch = $2, certificate = v.column2, tbs = NULL FROM (`,
	after: `) AS v WHERE serials.serial = v.column1 AND serials.state = 'Intended'
		AND serials.authority = $3 AND serials.generation = $4`,
	fixed:   4,
	columns: []string{"TEXT", "BYTES"},
}

// abandon puts the serial on the CRL: the device may have signed under it.
// It takes the time and the epoch.
const abandon = `UPDATE serials SET state = 'Abandoned', revoked_at = $1, reason = 5, epoch = $2`

// RecordIntent moves serials from Reserved to Intended; see [authority.Ledger].
func (s *Store) RecordIntent(ctx context.Context, issuer authority.IssuerKey, intents []authority.Intent) error {
	const operation = "record intent"
	if err := checkSlice("intents", len(intents)); err != nil {
		return s.failed(operation, err)
	}
	notAfter := make([]int64, len(intents))
	serials := make([]pki.Serial, len(intents))
	for i, in := range intents {
		if err := bounded("to-be-signed certificate", len(in.TBS), maxDER); err != nil {
			return s.failed(operation, fmt.Errorf("serial %s: %w", in.Serial, err))
		}
		var err error
		if notAfter[i], err = micros("notAfter", in.NotAfter); err != nil {
			return s.failed(operation, fmt.Errorf("serial %s: %w", in.Serial, err))
		}
		serials[i] = in.Serial
	}
	// Die before the commit: the serials stay Reserved and nothing is signed.
	// Die after: the next takeover abandons them.
	return s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		n, err := s.exec(ctx, tx, &recordIntent, len(intents), func(args []any, i int) []any {
			return append(args, string(intents[i].Serial), intents[i].TBS, notAfter[i])
		}, now, s.epoch, issuer.Authority, issuer.Generation)
		if err != nil {
			return err
		}
		if n != int64(len(intents)) {
			return refuse(ctx, tx, issuer, serials, authority.StateIntended)
		}
		leaves := make([]leaf, len(intents))
		for i, in := range intents {
			leaves[i] = leaf{actIntent, serialSubject(string(in.Serial)), detail{"tbs": fingerprint(in.TBS)}}
		}
		return s.audit(ctx, tx, now, leaves)
	})
}

// RecordIssued moves serials from Intended to Issued; see [authority.Ledger].
func (s *Store) RecordIssued(ctx context.Context, issuer authority.IssuerKey, issued []authority.Issued) error {
	const operation = "record issued certificates"
	if err := checkSlice("certificates", len(issued)); err != nil {
		return s.failed(operation, err)
	}
	serials := make([]pki.Serial, len(issued))
	for i, is := range issued {
		if err := bounded("certificate", len(is.Certificate), maxDER); err != nil {
			return s.failed(operation, fmt.Errorf("serial %s: %w", is.Serial, err))
		}
		serials[i] = is.Serial
	}
	// Die before the commit: the next takeover abandons the serials, and the
	// certificates are never delivered. Die after: the next Begin returns them.
	return s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		n, err := s.exec(ctx, tx, &recordIssued, len(issued), func(args []any, i int) []any {
			return append(args, string(issued[i].Serial), issued[i].Certificate)
		}, now, s.epoch, issuer.Authority, issuer.Generation)
		if err != nil {
			return err
		}
		if n != int64(len(issued)) {
			return refuse(ctx, tx, issuer, serials, authority.StateIssued)
		}
		if err := s.feedSerials(ctx, tx, now, serials...); err != nil {
			return err
		}
		leaves := make([]leaf, len(issued))
		for i, is := range issued {
			leaves[i] = leaf{actIssue, serialSubject(string(is.Serial)), detail{"certificate": fingerprint(is.Certificate)}}
		}
		if err := s.audit(ctx, tx, now, leaves); err != nil {
			return err
		}
		return countIssued(ctx, tx, issuer, len(issued))
	})
}

// Abandon moves one serial from Intended to Abandoned; see [authority.Ledger].
func (s *Store) Abandon(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) error {
	return s.fenced(ctx, "abandon serial", func(ctx context.Context, tx *sql.Tx) error {
		now := s.now()
		res, err := tx.ExecContext(ctx, abandon+` WHERE serial = $3 AND authority = $4 AND generation = $5 AND state = 'Intended'`,
			now, s.epoch, string(serial), issuer.Authority, issuer.Generation)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return refuse(ctx, tx, issuer, []pki.Serial{serial}, authority.StateAbandoned)
		}
		if err := s.feedSerials(ctx, tx, now, serial); err != nil {
			return err
		}
		return s.audit(ctx, tx, now, []leaf{{actAbandon, serialSubject(string(serial)), detail{"cause": "call"}}})
	})
}

// refuse says which serial could not move on. Where the serial itself was
// moved by the failed statement, it is one that stands twice in the slice.
func refuse(ctx context.Context, tx *sql.Tx, issuer authority.IssuerKey, serials []pki.Serial, to authority.State) error {
	for _, serial := range serials {
		var state string
		var withdrawn bool
		err := tx.QueryRowContext(ctx, `SELECT state, withdrawn_at IS NOT NULL FROM serials WHERE serial = $1 AND authority = $2 AND generation = $3`,
			string(serial), issuer.Authority, issuer.Generation).Scan(&state, &withdrawn)
		switch {
		case notFound(err):
			return fmt.Errorf("serial %.48q of %s is not in the ledger: %w", serial, issuerName(issuer), authority.ErrState)
		case err != nil:
			return fmt.Errorf("read state of serial %s: %w", serial, err)
		case withdrawn:
			return fmt.Errorf("serial %s of %s was withdrawn, its request went to another issuer: %w", serial, issuerName(issuer), authority.ErrState)
		case authority.State(state) != to || len(serials) == 1:
			return fmt.Errorf("serial %s of %s is %s, cannot become %s: %w", serial, issuerName(issuer), state, to, authority.ErrState)
		}
	}
	return fmt.Errorf("a serial of %s stands twice in the slice, or was %s before: %w", issuerName(issuer), to, authority.ErrState)
}
