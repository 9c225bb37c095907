package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

var insertFeed = bulk{
	before:  `INSERT INTO feed (kind, serial, created_at) `,
	columns: []string{"TEXT", "TEXT", "BIGINT"},
}

// feedSerials tells of serials, in the transaction that changes them.
func (s *Store) feedSerials(ctx context.Context, tx *sql.Tx, now int64, serials ...pki.Serial) error {
	_, err := s.exec(ctx, tx, &insertFeed, len(serials), func(args []any, i int) []any {
		return append(args, string(authority.ChangeSerial), string(serials[i]), now)
	})
	if err != nil {
		return fmt.Errorf("write feed: %w", err)
	}
	return nil
}

// feedCRL tells of a list in the transaction that saves it, unless one with a
// higher number is current.
func (s *Store) feedCRL(ctx context.Context, tx *sql.Tx, now int64, crl authority.CRL) error {
	k := crl.Issuer
	var highest int64
	err := tx.QueryRowContext(ctx, `SELECT MAX(number) FROM crls WHERE authority = $1 AND generation = $2 AND shard = $3`,
		k.Authority, k.Generation, crl.Shard).Scan(&highest)
	if err == nil && highest == crl.Number {
		_, err = tx.ExecContext(ctx, `INSERT INTO feed (kind, authority, generation, shard, created_at) VALUES ($1, $2, $3, $4, $5)`,
			string(authority.ChangeCRL), k.Authority, k.Generation, crl.Shard, now)
	}
	if err != nil {
		return fmt.Errorf("write feed: %w", err)
	}
	return nil
}

// feedAccepted tells of an accepted spec, in the transaction that changes it.
func (s *Store) feedAccepted(ctx context.Context, tx *sql.Tx, now int64, name string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO feed (kind, name, created_at) VALUES ($1, $2, $3)`, string(authority.ChangeAccepted), name, now)
	if err != nil {
		return fmt.Errorf("write feed: %w", err)
	}
	return nil
}

// Sequence numbers committed changes; see [authority.Feed]. Rows go by their id,
// but one that is committed late gets a late number all the same.
func (s *Store) Sequence(ctx context.Context, limit int) (int, error) {
	const operation = "sequence feed"
	if err := checkLimit(limit); err != nil {
		return 0, s.failed(operation, err)
	}
	if idle, err := s.idle(ctx); err != nil || idle {
		return 0, s.failed(operation, err)
	}
	var numbered int64
	// Die before the commit: the changes stay without a number.
	err := s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		var last int64
		// The lock on the head keeps other sequencers out until the commit.
		if err := tx.QueryRowContext(ctx, `SELECT last FROM feed_head WHERE one = 1`+s.c.Dialect.ForUpdate).Scan(&last); err != nil {
			return fmt.Errorf("lock head: %w", err)
		}
		res, err := tx.ExecContext(ctx, `UPDATE feed SET seq = $1 + p.n FROM
			(SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT $2) AS pending) AS p
			WHERE feed.id = p.id`, last, limit)
		if err != nil {
			return fmt.Errorf("number changes: %w", err)
		}
		if numbered, err = res.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE feed_head SET last = $1 WHERE one = 1`, last+numbered)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(numbered), nil
}

// idle says that nothing waits for a number, without a transaction. A process
// that was taken over learns it here, also while it writes nothing.
func (s *Store) idle(ctx context.Context) (bool, error) {
	var epoch int64
	var pending bool
	// The order makes PostgreSQL read the small index of what waits, whatever its statistics say.
	err := s.c.Reader.QueryRowContext(ctx, `SELECT epoch, (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1) IS NOT NULL FROM ledger_epoch WHERE one = 1`).Scan(&epoch, &pending)
	if err != nil {
		return false, fmt.Errorf("look for changes: %w", err)
	}
	return !pending, s.sameEpoch(epoch)
}

// Unsequenced returns how many committed changes have no number yet, at most a million.
func (s *Store) Unsequenced(ctx context.Context) (int64, error) {
	var n int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1000000) AS waiting`).Scan(&n)
	return n, s.failed("count unsequenced changes", err)
}

// Head returns the highest number, 0 when there is none.
func (s *Store) Head(ctx context.Context) (int64, error) {
	var last int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT last FROM feed_head WHERE one = 1`).Scan(&last)
	return last, s.failed("read feed head", err)
}

// Anchor is a digest of a numbered row; see [authority.Feed]. It is kept by
// consumers: its form stays as it is.
func (s *Store) Anchor(ctx context.Context, seq int64) ([]byte, error) {
	const operation = "read feed anchor"
	var kind string
	var serial, name, issuer sql.NullString
	var generation, shard sql.NullInt64
	var created int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT kind, serial, name, authority, generation, shard, created_at FROM feed WHERE seq = $1`, seq).Scan(
		&kind, &serial, &name, &issuer, &generation, &shard, &created)
	if notFound(err) {
		err = fmt.Errorf("change %d: %w", seq, authority.ErrNotFound)
	}
	if err != nil {
		return nil, s.failed(operation, err)
	}
	// Quoted, so that no field runs into the next.
	sum := sm3.Sum(fmt.Appendf(nil, "terrace/feed/v1 %d %q %q %q %q %d %d %d", seq, kind, serial.String, name.String, issuer.String, generation.Int64, shard.Int64, created))
	return sum[:], nil
}

// Position returns what a consumer last confirmed, 0 for a new one.
func (s *Store) Position(ctx context.Context, consumer string) (int64, error) {
	var seq int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT seq FROM feed_positions WHERE consumer = $1`, consumer).Scan(&seq)
	if notFound(err) {
		return 0, nil
	}
	return seq, s.failed("read feed position", err)
}

// SetPosition keeps what a consumer confirmed; see [authority.Feed]. It may go
// back, for a consumer that reads again from there.
func (s *Store) SetPosition(ctx context.Context, consumer string, seq int64) error {
	const operation = "set feed position"
	err := bounded("consumer", len(consumer), 400)
	if seq < 0 {
		err = errors.Join(err, fmt.Errorf("position: %d: want 0 or more", seq))
	}
	if err != nil {
		return s.failed(operation, err)
	}
	return s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO feed_positions (consumer, seq) VALUES ($1, $2) ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq`, consumer, seq)
		return err
	})
}

func checkLimit(limit int) error {
	if limit < 1 || limit > authority.MaxChanges {
		return fmt.Errorf("limit: %d: want 1 to %d", limit, authority.MaxChanges)
	}
	return nil
}
