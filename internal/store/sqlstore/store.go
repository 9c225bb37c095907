package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// defaultInstance is the name of a process that has none of its own.
const defaultInstance = "ca"

// Store implements [authority.Store]. All methods may be used concurrently.
type Store struct {
	database
	process int64 // 0 when opened without taking over
	texts   texts
	names   names
	// acts of many callers
	together together
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
	open := func(ctx context.Context) error {
		if err := s.requireSchema(ctx); err != nil {
			return err
		}
		return s.requireLoaded(ctx)
	}
	if c.TakeOver {
		open = s.takeOver
	}
	if err := open(ctx); err != nil {
		return nil, errors.Join(s.failed("open ledger", err), s.Close())
	}
	return s, nil
}

func (s *Store) takeOver(ctx context.Context) error {
	if s.c.Instance == "" {
		s.c.Instance = defaultInstance
	}
	if err := bounded("instance", len(s.c.Instance), 253); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.requireLoaded(ctx); err != nil {
		return err
	}
	return s.tx(ctx, s.join)
}

// requireLoaded refuses a ledger whose restore did not come to its end.
func (s *Store) requireLoaded(ctx context.Context) error {
	var restore string
	if err := s.c.Reader.QueryRowContext(ctx, `SELECT restore FROM heads WHERE one = 1`).Scan(&restore); err != nil {
		return fmt.Errorf("read state of restore: %w", err)
	}
	if restore == "Loading" {
		return errors.New("a backup was not loaded to its end: remove this database and restore into a new one")
	}
	return nil
}

// now is the time as the database keeps it: microseconds, UTC.
func (s *Store) now() int64 { return s.c.Now().UnixMicro() }
