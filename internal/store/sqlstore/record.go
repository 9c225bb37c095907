package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// recordColumns are what recordRow.fields scans, without the content.
	recordColumns  = `s.serial, a.authority, a.generation, s.shard, o.kind, o.namespace, s.name, s.digest, s.not_after, t.issued_at, r.revoked_at, r.reason`
	contentColumns = `s.tbs, t.tail`
	fromSerials    = ` FROM serials s `
	// joinRecord completes a row of serials s; what a serial became stands in rows of its own.
	joinRecord = ` JOIN issuers a ON a.id = s.issuer JOIN scopes o ON o.id = s.scope
		LEFT JOIN issued t ON t.serial_id = s.id LEFT JOIN revocations r ON r.serial_id = s.id `
	// selectRecord reads what scanRecord scans.
	selectRecord = `SELECT ` + recordColumns + `, ` + contentColumns + fromSerials + joinRecord
)

// recordRow is a Record as the columns hold it.
type recordRow struct {
	identity        authority.Identity
	issuer          authority.IssuerKey
	serial, digest  []byte
	shard           int32
	notAfter        int64
	issued, revoked sql.NullInt64
	reason          sql.NullInt32
	tbs, tail       []byte
}

// fields are those of recordColumns.
func (r *recordRow) fields() []any {
	return []any{&r.serial, &r.issuer.Authority, &r.issuer.Generation, &r.shard, &r.identity.Kind, &r.identity.Namespace, &r.identity.Name, &r.digest,
		&r.notAfter, &r.issued, &r.revoked, &r.reason}
}

// contentFields are those of contentColumns.
func (r *recordRow) contentFields() []any { return []any{&r.tbs, &r.tail} }

func (r *recordRow) record() (authority.Record, error) {
	if len(r.digest) != len(r.identity.Digest) {
		return authority.Record{}, fmt.Errorf("%s: digest of %d bytes in the database", identityName(r.identity), len(r.digest))
	}
	copy(r.identity.Digest[:], r.digest)
	out := authority.Record{
		Issuer: r.issuer, Serial: serialOf(r.serial), Shard: r.shard, Identity: r.identity,
		State: authority.StateIntended, NotAfter: fromMicros(sql.NullInt64{Int64: r.notAfter, Valid: true}), IssuedAt: fromMicros(r.issued),
	}
	if r.revoked.Valid && pki.Reason(r.reason.Int32) != pki.ReasonRemoveFromCRL {
		out.State = authority.StateAbandoned // unless it was issued
		out.Revocation = &authority.Revocation{At: fromMicros(r.revoked), Reason: pki.Reason(r.reason.Int32)}
	}
	switch {
	case r.issued.Valid && r.tbs != nil && r.tail != nil:
		out.Certificate = pki.JoinCertificate(r.tbs, r.tail)
		fallthrough
	case r.issued.Valid:
		out.State = authority.StateIssued
	default:
		out.TBS = r.tbs
	}
	return out, nil
}

func scanRecord(rows *sql.Rows) (authority.Record, error) {
	var r recordRow
	if err := rows.Scan(append(r.fields(), r.contentFields()...)...); err != nil {
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

// Status returns the record of a serial, or [authority.ErrNotFound].
func (s *Store) Status(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) (authority.Record, error) {
	r, err := oneRecord(ctx, s.c.Reader, `WHERE s.serial = $1 AND a.authority = $2 AND a.generation = $3`, octets(serial), issuer.Authority, issuer.Generation)
	return r, s.failed("status of serial", err)
}

// FindSerial returns the records with this serial under any issuer: as serials
// are drawn at random, one at most.
func (s *Store) FindSerial(ctx context.Context, serial pki.Serial) ([]authority.Record, error) {
	all, err := records(ctx, s.c.Reader, `WHERE s.serial = $1`, octets(serial))
	return all, s.failed("find serial", err)
}

// Find returns the newest record of a name, of whatever digest, or [authority.ErrNotFound].
func (s *Store) Find(ctx context.Context, kind, namespace, name string) (authority.Record, error) {
	r, err := oneRecord(ctx, s.c.Reader,
		`WHERE o.kind = $1 AND o.namespace = $2 AND s.name = $3 ORDER BY s.attempt DESC LIMIT 1`, kind, namespace, name)
	return r, s.failed("find record", err)
}

func notFound(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// octets is a serial as the database keeps it; what is no serial matches none.
func octets(s pki.Serial) []byte {
	b, err := hex.DecodeString(string(s))
	if err != nil {
		return []byte{}
	}
	return b
}

func serialOf(b []byte) pki.Serial { return pki.Serial(strings.ToUpper(hex.EncodeToString(b))) }
