package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Store implements [authority.Store]. All methods may be used concurrently.
type Store struct {
	database
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
	s := &Store{database: database{c: c, what: "ledger", versions: "schema_version"}}
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

// fenced runs do in a transaction that no takeover can interleave with.
func (s *Store) fenced(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	if s.epoch == 0 {
		return s.failed(operation, fmt.Errorf("the ledger was opened without taking it over, for reading only: %w", authority.ErrFenced))
	}
	return s.failed(operation, s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var epoch int64
		err := tx.QueryRowContext(ctx, `SELECT epoch FROM ledger_epoch WHERE one = 1`+s.c.Dialect.ForShare).Scan(&epoch)
		if err != nil {
			return fmt.Errorf("read epoch: %w", err)
		}
		if err := s.sameEpoch(epoch); err != nil {
			return err
		}
		return do(ctx, tx)
	}))
}

func (s *Store) sameEpoch(epoch int64) error {
	if epoch != s.epoch {
		return fmt.Errorf("epoch is %d, this process began %d: %w", epoch, s.epoch, authority.ErrFenced)
	}
	return nil
}

// now is the time as the database keeps it: microseconds, UTC.
func (s *Store) now() int64 { return s.c.Now().UnixMicro() }
