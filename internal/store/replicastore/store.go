// Package replicastore keeps the replica of a validation node in one SQLite
// file: write-ahead log, synchronous FULL, one writer beside many readers.
package replicastore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
)

// Store is a replica in a file.
type Store struct {
	writer, reader *sql.DB
	status         *sql.Stmt
}

var _ replica.Store = (*Store)(nil)

const statusQuery = `SELECT s.not_after, s.revoked_at, s.reason FROM issuers i JOIN statuses s ON s.issuer = i.id
	WHERE i.authority = ? AND i.generation = ? AND s.serial = ?`

// Open opens the file at path and makes it when it is absent, mode 0600. It
// must be on a local file system.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open replica %s: %w", path, err)
	}
	return s, nil
}

func open(ctx context.Context, path string) (_ *Store, err error) {
	if path, err = sqlitefile.Prepare(path, true); err != nil {
		return nil, err
	}
	s := &Store{writer: sqlitefile.Writer(path, cacheKiB), reader: sqlitefile.Reader(path, cacheKiB, readers)}
	if err = migrate(ctx, s.writer); err == nil {
		s.status, err = s.reader.PrepareContext(ctx, statusQuery)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the file.
func (s *Store) Close() error {
	var failed error
	if s.status != nil {
		failed = s.status.Close()
	}
	return errors.Join(failed, s.reader.Close(), s.writer.Close())
}

// State implements [replica.Store].
func (s *Store) State(ctx context.Context) (replica.State, error) {
	state, err := readState(ctx, s.reader)
	if err != nil {
		return replica.State{}, fmt.Errorf("read state of replica: %w", err)
	}
	return state, nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readState(ctx context.Context, q querier) (replica.State, error) {
	var state replica.State
	var pushed, asOf sql.NullInt64
	var held replica.Audit
	err := q.QueryRowContext(ctx, `SELECT position, head, anchor, ledger, serials, filled, refilling, pushed_at, as_of, revision, digest,
		a.text, COALESCE(a.reason, '') FROM node LEFT JOIN audit a ON a.one = 1`).Scan(
		&state.Position, &state.Head, &state.Anchor, &state.Ledger, &state.Serials, &state.Filled, &state.Refilling, &pushed, &asOf, &state.Revision, &state.Digest,
		&held.Text, &state.AuditRefused)
	if pushed.Valid {
		state.PushedAt = time.UnixMicro(pushed.Int64).UTC()
	}
	if asOf.Valid {
		state.AsOf = time.UnixMicro(asOf.Int64).UTC()
	}
	state.AuditSize = held.Size()
	return state, err
}

// Config implements [replica.Store].
func (s *Store) Config(ctx context.Context) (replica.Config, error) {
	var text []byte
	var c replica.Config
	err := s.reader.QueryRowContext(ctx, `SELECT config FROM node`).Scan(&text)
	if err == nil && text != nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return replica.Config{}, fmt.Errorf("read configuration of replica: %w", err)
	}
	return c, nil
}

// Status implements [replica.Store].
func (s *Store) Status(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) (replica.Status, error) {
	key, err := replica.SerialBytes(serial)
	if err != nil {
		return replica.Status{}, fmt.Errorf("read status: %w", err)
	}
	status := replica.Status{Issuer: issuer, Serial: serial}
	var notAfter int64
	var revokedAt, reason sql.NullInt64
	err = s.status.QueryRowContext(ctx, issuer.Authority, issuer.Generation, key).Scan(&notAfter, &revokedAt, &reason)
	if errors.Is(err, sql.ErrNoRows) {
		err = replica.ErrNotFound
	}
	if err != nil {
		return replica.Status{}, fmt.Errorf("read status of serial %s: %w", serial, err)
	}
	status.NotAfter = time.Unix(notAfter, 0).UTC()
	if revokedAt.Valid {
		status.Revocation = &authority.Revocation{At: time.UnixMicro(revokedAt.Int64).UTC(), Reason: pki.Reason(reason.Int64)}
	}
	return status, nil
}

// CRL implements [replica.Store].
func (s *Store) CRL(ctx context.Context, issuer authority.IssuerKey, shard int32) (authority.CRL, error) {
	crl, err := s.list(ctx, issuer, shard, `c.number, 0, c.this_update, c.next_update, c.der FROM issuers i JOIN crls c`)
	if err != nil {
		return authority.CRL{}, fmt.Errorf("read CRL %s: %w", issuer.CRLFileName(shard), err)
	}
	return crl, nil
}

// Delta implements [replica.Store].
func (s *Store) Delta(ctx context.Context, issuer authority.IssuerKey, shard int32) (authority.CRL, error) {
	crl, err := s.list(ctx, issuer, shard, `c.number, c.base, c.this_update, c.next_update, c.der FROM issuers i JOIN delta_crls c`)
	if err != nil {
		return authority.CRL{}, fmt.Errorf("read CRL %s: %w", issuer.DeltaFileName(shard), err)
	}
	return crl, nil
}

func (s *Store) list(ctx context.Context, issuer authority.IssuerKey, shard int32, columns string) (authority.CRL, error) {
	crl := authority.CRL{Issuer: issuer, Shard: shard}
	var this, next int64
	err := s.reader.QueryRowContext(ctx, `SELECT `+columns+` ON c.issuer = i.id WHERE i.authority = ? AND i.generation = ? AND c.shard = ?`,
		issuer.Authority, issuer.Generation, shard).Scan(&crl.Number, &crl.Base, &this, &next, &crl.DER)
	if errors.Is(err, sql.ErrNoRows) {
		err = replica.ErrNotFound
	}
	crl.ThisUpdate, crl.NextUpdate = time.Unix(this, 0).UTC(), time.Unix(next, 0).UTC()
	return crl, err
}
