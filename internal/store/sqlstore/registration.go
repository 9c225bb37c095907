package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/registration"
)

// keptApprovals bounds the decisions that are read for one request.
const keptApprovals = 64

// Registration implements [registration.Store]. It is not fenced: several
// processes may use one database.
type Registration struct{ database }

var _ registration.Store = (*Registration)(nil)

// OpenRegistration brings the schema up to date. It closes the databases when
// it fails, and Registration.Close closes them otherwise.
func OpenRegistration(ctx context.Context, c Config) (*Registration, error) {
	r := &Registration{database{c: c, what: "registration store", versions: "registration_version"}}
	if err := r.migrate(ctx); err != nil {
		return nil, errors.Join(r.failed("open registration store", err), r.Close())
	}
	return r, nil
}

// Open records a request the first time; see [registration.Store].
func (r *Registration) Open(ctx context.Context, o registration.Opened) (registration.Opened, error) {
	const operation = "open request"
	at, err := micros("time", o.At)
	if err := errors.Join(err, checkTarget(o.Target), bounded("applicant", len(o.Applicant), 253), checkIdentity(o)); err != nil {
		return registration.Opened{}, r.failed(operation, err)
	}
	found, err := r.opened(ctx, r.c.Reader, o.Target, "")
	if notFound(err) {
		found, err = r.open(ctx, o, at)
	}
	if err == nil && found.Digest != o.Digest {
		err = fmt.Errorf("%s: %w", targetName(o.Target), registration.ErrTargetConflict)
	}
	if err != nil {
		return registration.Opened{}, r.failed(operation, err)
	}
	return found.Opened, nil
}

// open writes a request unless another call did meanwhile, and returns what stands.
func (r *Registration) open(ctx context.Context, o registration.Opened, at int64) (found openedRow, err error) {
	// Die before the commit: the request is opened by the next call, with its
	// applicant. Die after: the next call returns this one.
	err = r.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO opened (kind, namespace, name, digest, applicant, identity_salt, identity_sum, at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (kind, namespace, name) DO NOTHING`,
			o.Kind, o.Namespace, o.Name, o.Digest[:], o.Applicant, o.IdentitySalt, o.IdentitySum, at)
		if err != nil {
			return err
		}
		found, err = r.opened(ctx, tx, o.Target, "")
		return err
	})
	return found, err
}

type openedRow struct {
	id int64
	registration.Opened
}

// opened reads what was opened under a target's name, of whatever digest, or
// [sql.ErrNoRows]. lock is a row-locking clause.
func (r *Registration) opened(ctx context.Context, q querier, t registration.Target, lock string) (openedRow, error) {
	row := openedRow{Opened: registration.Opened{Target: registration.Target{Kind: t.Kind, Namespace: t.Namespace, Name: t.Name}}}
	var digest []byte
	var at int64
	err := q.QueryRowContext(ctx, `SELECT id, digest, applicant, identity_salt, identity_sum, at FROM opened WHERE kind = $1 AND namespace = $2 AND name = $3`+lock,
		t.Kind, t.Namespace, t.Name).Scan(&row.id, &digest, &row.Applicant, &row.IdentitySalt, &row.IdentitySum, &at)
	if err != nil {
		return openedRow{}, err
	}
	copy(row.Digest[:], digest) // of 32 bytes, by the schema
	row.At = time.UnixMicro(at).UTC()
	return row, nil
}

// Take takes an approval in, once; see [registration.Store]. A target whose
// name was opened with another digest is not opened.
func (r *Registration) Take(ctx context.Context, a registration.Approval) (registration.Approval, error) {
	const operation = "take approval"
	at, err := micros("time", a.At)
	if err := errors.Join(err, checkApproval(a)); err != nil {
		return registration.Approval{}, r.failed(operation, err)
	}
	var taken registration.Approval
	// Die before the commit: the approval is taken by the next call. Die after:
	// the next call returns it.
	err = r.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		known, err := approvals(ctx, tx, ` WHERE a.namespace = $1 AND a.name = $2`, a.Namespace, a.Name)
		if err != nil {
			return err
		}
		if len(known) > 0 {
			taken = known[0]
			if a.At = taken.At; a != taken {
				return registration.ErrApprovalConflict
			}
			return nil
		}
		a.At = time.UnixMicro(at).UTC()
		taken = a
		return r.decide(ctx, tx, a)
	})
	if err != nil {
		return registration.Approval{}, r.failed(operation, fmt.Errorf("%s/%s: %w", a.Namespace, a.Name, err))
	}
	return taken, nil
}

// decide checks and records a new approval. The lock on the request lets one
// decision about it through at a time.
func (r *Registration) decide(ctx context.Context, tx *sql.Tx, a registration.Approval) error {
	o, err := r.opened(ctx, tx, a.Target, r.c.Dialect.ForUpdate)
	if notFound(err) || err == nil && o.Digest != a.Target.Digest {
		return fmt.Errorf("%s: %w", targetName(a.Target), registration.ErrNotOpened)
	}
	if err != nil {
		return fmt.Errorf("lock request: %w", err)
	}
	var taken, decided bool
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM approvals WHERE namespace = $1 AND name = $2),
		EXISTS (SELECT 1 FROM approvals WHERE opened = $3 AND approver = $4)`, a.Namespace, a.Name, o.id, a.Approver).Scan(&taken, &decided)
	switch {
	case err != nil:
		return fmt.Errorf("look for an earlier decision: %w", err)
	case taken: // while this call waited for the lock
		return errAgain
	case o.Applicant == a.Approver:
		return registration.ErrApproverIsApplicant
	case decided:
		return registration.ErrAlreadyDecided
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO approvals (namespace, name, opened, approver, decision, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (namespace, name) DO NOTHING`, a.Namespace, a.Name, o.id, a.Approver, string(a.Decision), a.At.UnixMicro())
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return errAgain // the name was taken meanwhile; it is found next time
	}
	return nil
}

// Approvals returns the decisions about a target; see [registration.Store].
func (r *Registration) Approvals(ctx context.Context, t registration.Target) ([]registration.Approval, error) {
	all, err := approvals(ctx, r.c.Reader, ` WHERE o.kind = $1 AND o.namespace = $2 AND o.name = $3 AND o.digest = $4 ORDER BY a.id LIMIT $5`,
		t.Kind, t.Namespace, t.Name, t.Digest[:], keptApprovals)
	return all, r.failed("read approvals", err)
}

func approvals(ctx context.Context, q rowsQuerier, where string, args ...any) ([]registration.Approval, error) {
	rows, err := q.QueryContext(ctx, `SELECT a.namespace, a.name, o.kind, o.namespace, o.name, o.digest, a.approver, a.decision, a.at
		FROM approvals a JOIN opened o ON o.id = a.opened`+where, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (a registration.Approval, err error) {
		var digest []byte
		var at int64
		err = rows.Scan(&a.Namespace, &a.Name, &a.Target.Kind, &a.Target.Namespace, &a.Target.Name, &digest, &a.Approver, &a.Decision, &at)
		copy(a.Target.Digest[:], digest) // of 32 bytes, by the schema
		a.At = time.UnixMicro(at).UTC()
		return a, err
	})
}

func checkTarget(t registration.Target) error {
	return checkName("target", t.Kind, t.Namespace, t.Name)
}

// checkIdentity wants a salt and a sum, or neither.
func checkIdentity(o registration.Opened) error {
	salt, sum := len(o.IdentitySalt), len(o.IdentitySum)
	if (salt != 0 || sum != 0) && (salt != registration.IdentitySaltSize || sum != len(o.Digest)) {
		return fmt.Errorf("identity sum: salt of %d bytes and sum of %d, want %d and %d, or neither", salt, sum, registration.IdentitySaltSize, len(o.Digest))
	}
	return nil
}

func checkApproval(a registration.Approval) error {
	err := errors.Join(checkName("approval", "Approval", a.Namespace, a.Name), checkTarget(a.Target), bounded("approver", len(a.Approver), 253))
	if a.Decision != registration.Approve && a.Decision != registration.Deny {
		err = errors.Join(err, fmt.Errorf("decision %.32q: want %s or %s", a.Decision, registration.Approve, registration.Deny))
	}
	return err
}

func targetName(t registration.Target) string { return t.Kind + "/" + t.Namespace + "/" + t.Name }
