package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// fenced runs do in a transaction that nobody can interleave with who fences
// this process off.
func (s *Store) fenced(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	return s.failed(operation, s.inEpoch(ctx, do))
}

// acting is fenced for what a restored ledger must not do before it is reconciled:
// sign, number lists, judge by what it knows of a certificate.
func (s *Store) acting(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	return s.failed(operation, s.asProcess(ctx, func(ctx context.Context, tx *sql.Tx, restored bool) error {
		if restored {
			return authority.ErrRestored
		}
		return do(ctx, tx)
	}))
}

func (s *Store) inEpoch(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return s.asProcess(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error { return do(ctx, tx) })
}

func (s *Store) asProcess(ctx context.Context, do func(ctx context.Context, tx *sql.Tx, restored bool) error) error {
	if s.process == 0 {
		return fmt.Errorf("the ledger was opened without taking it over, for reading only: %w", authority.ErrFenced)
	}
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		restored, err := s.alive(ctx, tx, s.c.Dialect.ForShare+s.c.Dialect.Of("p"))
		if err != nil {
			return err
		}
		return do(ctx, tx, restored)
	})
}

// alive returns ErrFenced when this process was fenced off. restored: the ledger is
// not reconciled since a backup was restored.
func (s *Store) alive(ctx context.Context, q querier, lock string) (restored bool, err error) {
	var fenced bool
	err = q.QueryRowContext(ctx, `SELECT p.fenced <> 0, h.restore <> '' FROM processes p CROSS JOIN heads h WHERE p.id = $1 AND h.one = 1`+lock, s.process).Scan(&fenced, &restored)
	if notFound(err) {
		return false, fmt.Errorf("process %d is not in the ledger, which is older than the process: %w", s.process, authority.ErrFenced)
	}
	if err != nil {
		return false, fmt.Errorf("read own process: %w", err)
	}
	if fenced {
		return false, fmt.Errorf("process %d was fenced off: %w", s.process, authority.ErrFenced)
	}
	return restored, nil
}

// join enters this process and fences off those that it takes over from: every
// one of its instance, or every one at all. Die before the commit, and they go on.
func (s *Store) join(ctx context.Context, tx *sql.Tx) error {
	condition, args := ` AND instance = $1`, []any{s.c.Instance}
	if s.c.Exclusive {
		condition, args = ``, nil
	}
	if err := s.fence(ctx, tx, "takeover", condition, args...); err != nil {
		return err
	}
	err := tx.QueryRowContext(ctx, `INSERT INTO processes (instance, fenced, seen_at) VALUES ($1, 0, `+s.c.Dialect.Now+`) RETURNING id`, s.c.Instance).Scan(&s.process)
	if err != nil {
		return fmt.Errorf("enter process: %w", err)
	}
	_, err = s.tell(ctx, tx, s.now(), []leaf{{actTakeover, "process/" + strconv.FormatInt(s.process, 10), detail{"instance": s.c.Instance}}})
	return err
}

// fence ends the processes of a condition and closes what they left Intended as
// Abandoned. The lock waits for every transaction that found one of them alive.
func (s *Store) fence(ctx context.Context, tx *sql.Tx, cause, condition string, args ...any) error {
	rows, err := tx.QueryContext(ctx, `UPDATE processes SET fenced = 1 WHERE id IN (
		SELECT id FROM processes WHERE fenced = 0`+condition+` ORDER BY id`+s.c.Dialect.ForUpdate+`) RETURNING id`, args...)
	if err != nil {
		return fmt.Errorf("fence processes: %w", err)
	}
	ended, err := scanAll(rows, func(rows *sql.Rows) (id int64, err error) { return id, rows.Scan(&id) })
	if err != nil {
		return fmt.Errorf("fence processes: %w", err)
	}
	for _, process := range ended {
		if err := s.closeAttempts(ctx, tx, process, cause); err != nil {
			return err
		}
	}
	return nil
}

// closeAttempts closes what a process left Intended as Abandoned.
func (s *Store) closeAttempts(ctx context.Context, tx *sql.Tx, process int64, cause string) error {
	rows, err := tx.QueryContext(ctx, `SELECT s.id, s.serial FROM attempts p JOIN serials s ON s.id = p.serial_id WHERE p.process = $1 ORDER BY p.serial_id`, process)
	if err != nil {
		return fmt.Errorf("read what was intended: %w", err)
	}
	var ids []int64
	var serials []pki.Serial
	err = scanEach(rows, func(rows *sql.Rows) error {
		var id int64
		var serial []byte
		err := rows.Scan(&id, &serial)
		ids, serials = append(ids, id), append(serials, serialOf(serial))
		return err
	})
	if err != nil {
		return fmt.Errorf("read what was intended: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM attempts WHERE process = $1`, process); err != nil {
		return fmt.Errorf("end attempts: %w", err)
	}
	if err := s.abandon(ctx, tx, ids, serials, cause); err != nil {
		return fmt.Errorf("abandon what was intended: %w", err)
	}
	return nil
}

// Renew says that this process is alive and takes over from those that were
// silent; see [authority.Store].
func (s *Store) Renew(ctx context.Context, silence time.Duration) (leads bool, err error) {
	const operation = "renew"
	if silence < time.Second {
		return false, s.failed(operation, errors.New("silence of less than a second: processes would fence each other off"))
	}
	err = s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		if s.c.Exclusive {
			leads = true
			return nil // the transaction found it alive
		}
		// A process that was silent itself, as when the database was away, knows nothing
		// of the others: they get this round to say that they are alive.
		var silent bool
		err := tx.QueryRowContext(ctx, `SELECT seen_at < `+s.c.Dialect.Now+` - CAST($1 AS BIGINT) FROM processes WHERE id = $2`, silence.Microseconds()/2, s.process).Scan(&silent)
		if err != nil {
			return fmt.Errorf("read own process: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE processes SET seen_at = `+s.c.Dialect.Now+` WHERE id = $1`, s.process); err != nil {
			return fmt.Errorf("mark own process: %w", err)
		}
		if !silent {
			err := s.fence(ctx, tx, "silence", ` AND seen_at < `+s.c.Dialect.Now+` - CAST($1 AS BIGINT) AND id <> $2`, silence.Microseconds(), s.process)
			if err != nil {
				return err
			}
		}
		var first int64
		if err := tx.QueryRowContext(ctx, `SELECT MIN(id) FROM processes WHERE fenced = 0`).Scan(&first); err != nil {
			return fmt.Errorf("find the first process: %w", err)
		}
		leads = first == s.process
		return nil
	})
	return leads, err
}

// Heads returns the highest numbers; see [authority.Store].
func (s *Store) Heads(ctx context.Context) (h authority.Heads, err error) {
	const operation = "read heads"
	err = s.c.Reader.QueryRowContext(ctx, `SELECT feed, audit, accepted, restore <> '' FROM heads WHERE one = 1`).Scan(&h.Feed, &h.Audit, &h.Accepted, &h.Restored)
	if err == nil && s.process != 0 {
		_, err = s.alive(ctx, s.c.Reader, "")
	}
	return h, s.failed(operation, err)
}
