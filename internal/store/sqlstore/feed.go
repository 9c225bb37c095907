package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
)

// about is what a change is about: one of the fields.
type about struct {
	serial int64 // the id of its row
	crl    *authority.CRL
	spec   string // name of an accepted spec
}

func aboutSerials(ids []int64) []about {
	all := make([]about, len(ids))
	for i, id := range ids {
		all[i] = about{serial: id}
	}
	return all
}

// feedSerials takes the time and the number before the first.
var feedSerials = bulk{
	before:  `INSERT INTO feed (seq, kind, serial_id, created_at) SELECT $1 + v.column1, 'Serial', v.column2, $2 FROM (`,
	after:   `) AS v`,
	fixed:   2,
	columns: []string{"BIGINT", "BIGINT"},
}

// tell writes the audit leaves of acts and the changes that they made, in their
// transaction, and returns the number of the first change. It comes last: the row of
// the numbers is locked from here to the commit, so that numbers become visible in their order.
func (s *Store) tell(ctx context.Context, tx *sql.Tx, now int64, leaves []leaf, changes ...about) (int64, error) {
	accepted := len(changes) > 0 && changes[len(changes)-1].spec != ""
	var feed, audit int64
	err := tx.QueryRowContext(ctx, `UPDATE heads SET feed = feed + $1, audit = audit + $2, accepted = CASE WHEN $3 <> 0 THEN feed + $1 ELSE accepted END
		WHERE one = 1 RETURNING feed, audit`, len(changes), len(leaves), map[bool]int{true: 1}[accepted]).Scan(&feed, &audit)
	if err != nil {
		return 0, fmt.Errorf("number what is told: %w", err)
	}
	if err := s.audit(ctx, tx, now, audit-int64(len(leaves)), leaves); err != nil {
		return 0, err
	}
	before := feed - int64(len(changes))
	if err := s.feed(ctx, tx, now, before, changes); err != nil {
		return 0, fmt.Errorf("write feed: %w", err)
	}
	return before + 1, nil
}

// feed writes changes under the numbers after before. Those of one call are of one kind.
func (s *Store) feed(ctx context.Context, tx *sql.Tx, now, before int64, changes []about) error {
	if len(changes) == 0 {
		return nil
	}
	if changes[0].serial != 0 {
		_, err := s.exec(ctx, tx, &feedSerials, len(changes), func(args []any, i int) []any {
			return append(args, int64(i)+1, changes[i].serial)
		}, before, now)
		return err
	}
	for i, c := range changes {
		seq := before + int64(i) + 1
		var err error
		if c.crl != nil {
			kind := authority.ChangeCRL
			if c.crl.IsDelta() {
				kind = authority.ChangeDelta
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO feed (seq, kind, authority, generation, shard, created_at) VALUES ($1, $2, $3, $4, $5, $6)`,
				seq, string(kind), c.crl.Issuer.Authority, c.crl.Issuer.Generation, c.crl.Shard, now)
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO feed (seq, kind, name, created_at) VALUES ($1, 'Accepted', $2, $3)`, seq, c.spec, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Head returns the highest number, 0 when there is none.
func (s *Store) Head(ctx context.Context) (int64, error) {
	var last int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT feed FROM heads WHERE one = 1`).Scan(&last)
	return last, s.failed("read feed head", err)
}

// Anchor is a digest of a numbered row; see [authority.Feed]. It is kept by
// consumers: its form stays as it is.
func (s *Store) Anchor(ctx context.Context, seq int64) ([]byte, error) {
	const operation = "read feed anchor"
	var kind string
	var serial []byte
	var name, issuer sql.NullString
	var generation, shard sql.NullInt64
	var created int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT f.kind, s.serial, f.name, f.authority, f.generation, f.shard, f.created_at
		FROM feed f LEFT JOIN serials s ON s.id = f.serial_id WHERE f.seq = $1`, seq).Scan(
		&kind, &serial, &name, &issuer, &generation, &shard, &created)
	if notFound(err) {
		err = fmt.Errorf("change %d: %w", seq, authority.ErrNotFound)
	}
	if err != nil {
		return nil, s.failed(operation, err)
	}
	// Quoted, so that no field runs into the next.
	sum := sm3.Sum(fmt.Appendf(nil, "terrace/feed/v1 %d %q %q %q %q %d %d %d", seq, kind, serialOf(serial), name.String, issuer.String, generation.Int64, shard.Int64, created))
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
