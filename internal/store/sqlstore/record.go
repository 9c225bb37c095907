package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	identityColumns = `i.kind, i.namespace, i.name, i.digest`
	serialColumns   = `s.serial, s.authority, s.generation, s.shard, s.state, s.not_after, s.issued_at, s.revoked_at, s.reason`
	contentColumns  = `s.tbs, s.certificate`
	fromSerials     = ` FROM serials s JOIN identities i ON i.id = s.identity `
	// selectRecord reads what scanRecord scans.
	selectRecord = `SELECT ` + identityColumns + `, ` + serialColumns + `, ` + contentColumns + fromSerials
)

// recordRow is a Record as the columns hold it.
type recordRow struct {
	identity                  authority.Identity
	digest                    []byte
	serial, authority, state  sql.NullString // null: an identity without a serial
	generation, shard         sql.NullInt32
	notAfter, issued, revoked sql.NullInt64
	reason                    sql.NullInt32
	tbs, certificate          []byte
}

func (r *recordRow) identityFields() []any {
	return []any{&r.identity.Kind, &r.identity.Namespace, &r.identity.Name, &r.digest}
}

func (r *recordRow) serialFields() []any {
	return []any{&r.serial, &r.authority, &r.generation, &r.shard, &r.state, &r.notAfter, &r.issued, &r.revoked, &r.reason}
}

func (r *recordRow) contentFields() []any { return []any{&r.tbs, &r.certificate} }

func (r *recordRow) record() (authority.Record, error) {
	if len(r.digest) != len(r.identity.Digest) {
		return authority.Record{}, fmt.Errorf("identity %s/%s/%s: digest of %d bytes in the database", r.identity.Kind, r.identity.Namespace, r.identity.Name, len(r.digest))
	}
	copy(r.identity.Digest[:], r.digest)
	out := authority.Record{
		Issuer:   authority.IssuerKey{Authority: r.authority.String, Generation: r.generation.Int32},
		Serial:   pki.Serial(r.serial.String),
		Shard:    r.shard.Int32,
		Identity: r.identity,
		State:    authority.State(r.state.String),
		TBS:      r.tbs, Certificate: r.certificate,
		NotAfter: fromMicros(r.notAfter), IssuedAt: fromMicros(r.issued),
	}
	if r.revoked.Valid {
		out.Revocation = &authority.Revocation{At: fromMicros(r.revoked), Reason: pki.Reason(r.reason.Int32)}
	}
	return out, nil
}

func scanRecord(rows *sql.Rows) (authority.Record, error) {
	var r recordRow
	if err := rows.Scan(append(append(r.identityFields(), r.serialFields()...), r.contentFields()...)...); err != nil {
		return authority.Record{}, err
	}
	return r.record()
}

type rowsQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// records runs selectRecord with a condition.
func records(ctx context.Context, q rowsQuerier, where string, args ...any) ([]authority.Record, error) {
	rows, err := q.QueryContext(ctx, selectRecord+where, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scanRecord)
}

func oneRecord(ctx context.Context, q rowsQuerier, where string, args ...any) (authority.Record, error) {
	all, err := records(ctx, q, where, args...)
	if err != nil {
		return authority.Record{}, err
	}
	if len(all) == 0 {
		return authority.Record{}, authority.ErrNotFound
	}
	return all[0], nil
}

const bySerial = ` WHERE s.serial = $1 AND s.authority = $2 AND s.generation = $3`

// Status returns the record of a serial, or [authority.ErrNotFound].
func (s *Store) Status(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) (authority.Record, error) {
	r, err := oneRecord(ctx, s.c.Reader, bySerial, string(serial), issuer.Authority, issuer.Generation)
	return r, s.failed("status of serial", err)
}

// FindSerial returns the records with this serial under any issuer.
func (s *Store) FindSerial(ctx context.Context, serial pki.Serial) ([]authority.Record, error) {
	all, err := records(ctx, s.c.Reader, ` WHERE s.serial = $1 ORDER BY s.authority, s.generation`, string(serial))
	return all, s.failed("find serial", err)
}

// Find returns the newest record of a name, of whatever digest, or [authority.ErrNotFound].
func (s *Store) Find(ctx context.Context, kind, namespace, name string) (authority.Record, error) {
	r, err := oneRecord(ctx, s.c.Reader,
		` WHERE i.kind = $1 AND i.namespace = $2 AND i.name = $3 AND s.withdrawn_at IS NULL ORDER BY s.id DESC LIMIT 1`, kind, namespace, name)
	return r, s.failed("find record", err)
}

func notFound(err error) bool { return errors.Is(err, sql.ErrNoRows) }
