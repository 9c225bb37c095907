// Package sqlstore is the authorities' store in SQL that SQLite and PostgreSQL
// share. Packages sqlite and postgres open the databases and import the drivers.
package sqlstore

import (
	"database/sql"
	"io"
	"io/fs"
	"time"
)

// Dialect is what differs between the databases.
type Dialect struct {
	// Name begins the errors, as in "sqlite".
	Name string
	// Blob is the type of bytes: BLOB or BYTEA.
	Blob string
	// QuestionMark: ?N is the parameter of number N, and $N one that is counted
	// by its first appearance.
	QuestionMark bool
	// Unnest: rows of parameters go as arrays, one for each column.
	Unnest bool
	// Now is an expression of the database's own time in microseconds since 1970.
	Now string
	// Durability is a statement whose rows are the settings that make a commit
	// durable: name and value.
	Durability string
	// Isolation of the transactions that write; the row locks do the rest.
	Isolation sql.IsolationLevel
	// LockMigration is a statement that keeps other migrations out until its
	// transaction ends; empty when beginning a transaction does that.
	LockMigration string
	// ForShare and ForUpdate are the row-locking clauses of SELECT, of which the
	// first lets others update what is no key; empty when
	// there is only one writer.
	ForShare, ForUpdate string
	// Snapshot is the isolation of a transaction that reads one state of all tables.
	Snapshot sql.IsolationLevel
	// HasTable is a query for whether the table $1 is there.
	HasTable string
	// Overriding stands before VALUES in an INSERT that gives ids, and NextID is a
	// statement, for fmt with a table, that has it go on from its highest id; both may be empty.
	Overriding, NextID string
	// Schema holds the migrations, NNNN_name.sql from 0001.
	Schema fs.FS
	// Retryable says that a statement failed only because of other transactions
	// (deadlock), so that its whole transaction may be tried again.
	Retryable func(error) bool
	// Redact takes from an error what must not be shown. It may be nil.
	Redact func(error) error
}

// Config of a Store.
type Config struct {
	Dialect Dialect
	// Writer begins transactions that no other writer interleaves with, or locks
	// rows as the dialect says. Reader serves what needs no transaction. They may be the same.
	Writer, Reader *sql.DB
	// TakeOver lets this process write, and fences off earlier ones: those of its
	// instance, or all when it is Exclusive. Without it nothing can be written, and
	// the schema must be current already.
	TakeOver bool
	// Instance names this process among those that write to one database at the
	// same time; the next process of the name takes over from it at once. Default "ca".
	Instance  string
	Exclusive bool
	Now       func() time.Time // default time.Now
	Random    io.Reader        // default crypto/rand; for serials
}

// Of names the table whose rows ForUpdate locks, where there are locks.
func (d Dialect) Of(table string) string {
	if d.ForUpdate == "" {
		return ""
	}
	return " OF " + table
}
