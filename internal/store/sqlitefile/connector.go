package sqlitefile

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

// connector opens connections of one DSN, without the global table of drivers.
type connector struct{ dsn string }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open(c.dsn)
	if err != nil {
		return nil, err
	}
	for _, pragma := range []string{
		fmt.Sprintf(`wal_autocheckpoint = %d`, walPages),
		// With it SQLite would rather scan all serials beside an index that it
		// makes of a slice, than look each of the slice up.
		`automatic_index = OFF`,
	} {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, `PRAGMA `+pragma, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("PRAGMA %s: %w", pragma, err), conn.Close())
		}
	}
	return conn, nil
}

// walPages is how long the write-ahead log grows, 64 MiB, before its pages go
// into the file. Serials are random, so that nearly every page of an index is
// touched in turn: the more commits a page gathers, the less is written. The log
// is what makes a commit durable, however long it is.
const walPages = 16384

func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }
