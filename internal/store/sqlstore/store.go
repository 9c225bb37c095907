package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// attempts bounds how often a transaction is tried that failed because of
// another one, or because a serial was drawn twice.
const attempts = 5

// errAgain says that a transaction is to be tried again from its beginning.
var errAgain = errors.New("other transactions interfered; try again")

// Store implements [authority.Store]. All methods may be used concurrently.
type Store struct {
	c     Config
	epoch int64 // 0 when opened without taking over
	texts texts
}

var _ authority.Store = (*Store)(nil)

// Open brings the schema up to date and takes the ledger over, or, without
// Config.TakeOver, checks that the schema is current. It closes the databases
// when it fails, and Store.Close closes them otherwise.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Store{c: c}
	open := s.requireSchema
	if c.TakeOver {
		open = s.takeOver
	}
	if err := open(ctx); err != nil {
		return nil, errors.Join(s.failed("open ledger", err), s.Close())
	}
	return s, nil
}

func (s *Store) takeOver(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.tx(ctx, s.beginEpoch)
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.failed("ping ledger", s.c.Reader.PingContext(ctx))
}

// Close ends the connections. What was written stays.
func (s *Store) Close() error {
	err := s.c.Writer.Close()
	if s.c.Reader != s.c.Writer {
		err = errors.Join(err, s.c.Reader.Close())
	}
	return s.failed("close ledger", err)
}

// failed puts the database and the operation before an error, nil stays nil.
func (s *Store) failed(operation string, err error) error {
	if err == nil {
		return nil
	}
	if s.c.Dialect.Redact != nil {
		err = s.c.Dialect.Redact(err)
	}
	return fmt.Errorf("%s: %s: %w", s.c.Dialect.Name, operation, err)
}

// tx runs do in a transaction, again when other transactions made it fail. A
// failed commit is not tried again: it may have been persisted.
func (s *Store) tx(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	for n := 1; ; n++ {
		again, err := s.try(ctx, do)
		if err == nil || !again || n == attempts || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) try(ctx context.Context, do func(context.Context, *sql.Tx) error) (again bool, err error) {
	tx, err := s.c.Writer.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("begin transaction: %w", err)
	}
	if err := do(ctx, tx); err != nil {
		_ = tx.Rollback() // err says what matters; the transaction ends with its connection at the latest
		return errors.Is(err, errAgain) || s.c.Dialect.Retryable(err), err
	}
	if err := tx.Commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	return false, nil
}

// fenced runs do in a transaction that no takeover can interleave with.
func (s *Store) fenced(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	if s.epoch == 0 {
		return s.failed(operation, fmt.Errorf("the ledger was opened without taking it over, only revocation works: %w", authority.ErrFenced))
	}
	return s.failed(operation, s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var epoch int64
		err := tx.QueryRowContext(ctx, `SELECT epoch FROM ledger_epoch WHERE one = 1`+s.c.Dialect.ForShare).Scan(&epoch)
		if err != nil {
			return fmt.Errorf("read epoch: %w", err)
		}
		if epoch != s.epoch {
			return fmt.Errorf("epoch is %d, this process began %d: %w", epoch, s.epoch, authority.ErrFenced)
		}
		return do(ctx, tx)
	}))
}

// now is the time as the database keeps it: microseconds, UTC.
func (s *Store) now() int64 { return s.c.Now().UnixMicro() }

func fromMicros(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.UnixMicro(n.Int64).UTC()
}

// micros refuses times that do not fit, the zero time among them.
func micros(field string, t time.Time) (int64, error) {
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		return 0, fmt.Errorf("%s: time of year %d: want 1970 to 9999", field, y)
	}
	return t.UnixMicro(), nil
}

// bounded refuses bytes that are missing or too many.
func bounded(field string, n, most int) error {
	if n < 1 || n > most {
		return fmt.Errorf("%s: %d bytes: want 1 to %d", field, n, most)
	}
	return nil
}
