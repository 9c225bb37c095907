package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// attempts bounds how often a transaction is tried that failed because of
// another one, or because a serial was drawn twice.
const attempts = 5

// errAgain says that a transaction is to be tried again from its beginning.
var errAgain = errors.New("other transactions interfered; try again")

// database is what every store of this package does with its connections.
type database struct {
	c Config
	// what stands in the errors: "ledger", "registration store".
	what string
	// versions is the table of the schema's versions.
	versions string
	commits  atomic.Int64
}

// Ping says whether the database answers.
func (d *database) Ping(ctx context.Context) error {
	return d.failed("ping "+d.what, d.c.Reader.PingContext(ctx))
}

// Close ends the connections. What was written stays.
func (d *database) Close() error {
	err := d.c.Writer.Close()
	if d.c.Reader != d.c.Writer {
		err = errors.Join(err, d.c.Reader.Close())
	}
	return d.failed("close "+d.what, err)
}

// failed puts the database and the operation before an error, nil stays nil.
func (d *database) failed(operation string, err error) error {
	if err == nil {
		return nil
	}
	if d.c.Dialect.Redact != nil {
		err = d.c.Dialect.Redact(err)
	}
	return fmt.Errorf("%s: %s: %w", d.c.Dialect.Name, operation, err)
}

// tx runs do in a transaction, again when other transactions made it fail. A
// failed commit is not tried again: it may have been persisted.
func (d *database) tx(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	for n := 1; ; n++ {
		again, err := d.try(ctx, do)
		if err == nil || !again || n == attempts || ctx.Err() != nil {
			return err
		}
	}
}

func (d *database) try(ctx context.Context, do func(context.Context, *sql.Tx) error) (again bool, err error) {
	tx, err := d.c.Writer.BeginTx(ctx, &sql.TxOptions{Isolation: d.c.Dialect.Isolation})
	if err != nil {
		return false, fmt.Errorf("begin transaction: %w", err)
	}
	if err := do(ctx, tx); err != nil {
		_ = tx.Rollback() // err says what matters; the transaction ends with its connection at the latest
		return errors.Is(err, errAgain) || d.c.Dialect.Retryable(err), err
	}
	if err := tx.Commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	d.commits.Add(1)
	return false, nil
}

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

// checkName refuses the name of an object that does not fit; the namespace is
// empty for what is cluster-scoped.
func checkName(field, kind, namespace, name string) error {
	if len(namespace) > 63 {
		return fmt.Errorf("%s namespace: %d bytes: want at most 63", field, len(namespace))
	}
	return errors.Join(bounded(field+" kind", len(kind), 63), bounded(field+" name", len(name), 253))
}
