package directory

import (
	"context"
	"errors"
	"time"
)

// MaxGet is the largest number of DNs in one Get.
const MaxGet = 256

// Errors of every server; others mean that the server refused a single change.
var (
	// ErrUnavailable: no answer. What was asked may have been done.
	ErrUnavailable = errors.New("directory server is unavailable")
	// ErrCredentials: the bind or an access was refused, or there is nothing to bind with.
	ErrCredentials = errors.New("directory server refused the credentials")
	// ErrReferral: the server takes no writes from us and names another one.
	ErrReferral = errors.New("directory server refers writers to another server")
	// ErrTooLarge: an entry exceeds what the server takes or gives.
	ErrTooLarge = errors.New("directory server refused the size")
	// ErrExists: an entry to be added is there.
	ErrExists = errors.New("entry exists")
	// ErrNotFound: an entry to be modified, or the parent of one to be added, is not there.
	ErrNotFound = errors.New("entry or its parent is not there")
	// ErrNotLeaf: an entry to be deleted has entries below it.
	ErrNotLeaf = errors.New("entry has entries below it")
	// ErrNoBase: the server lacks the base entry, as one does that is empty, or
	// whose account may not read. What it holds means nothing then.
	ErrNoBase = errors.New("base entry is not there, or not for this account")
	// ErrFilling: the master does not hold yet all that it is to hold, so what it
	// lacks is not to be removed elsewhere.
	ErrFilling = errors.New("master is being filled")
	// ErrNoLog: the server keeps no log of changes.
	ErrNoLog = errors.New("directory server keeps no log of changes")
	// ErrCursorLost: the log no longer reaches back to the cursor.
	ErrCursorLost = errors.New("log of changes no longer reaches back to the cursor")
)

// Server is one directory server, with what an account on it can see and do.
// directorytest.Server proves an implementation.
//
// Errors are of the classes above unless the server refused a single change.
// Entries have user attributes only and come from NewEntry. All methods may be
// used concurrently, return soon after ctx ends, and connect again by themselves.
type Server interface {
	// Get returns the entries under dns, at most MaxGet, in order: nil for one that is not there.
	Get(ctx context.Context, dns []string) ([]*Entry, error)
	// Walk calls yield for the entry base and each entry below it, in any order,
	// in pages, so that memory does not grow with the directory. It ends with
	// the first error of yield. No base is no error. An entry that is written
	// meanwhile may be seen or not.
	Walk(ctx context.Context, base string, yield func(Entry) error) error
	// Apply makes changes and ends at the first that fails; later ones may have
	// been made or not. Changes of a kind whose DNs have the same depth may be
	// made in any order. Deleting what is not there is no error. A change that
	// was made is durable.
	Apply(ctx context.Context, changes []Change) error
	// Changes returns what was changed after a cursor, oldest first, at most limit
	// DNs; an empty cursor asks for no changes, only for the newest cursor.
	// ErrNoLog and ErrCursorLost say that only a full comparison helps.
	Changes(ctx context.Context, after Cursor, limit int) (Log, error)
}

// Cursor is a place in a server's log of changes, opaque to others.
type Cursor string

// Log is a part of a server's log of changes.
type Log struct {
	// DNs that were added, modified, renamed or deleted, each once.
	DNs []string
	// Oldest is when the first of them was changed, by the server's clock.
	Oldest time.Time
	// Next is the cursor after the last of them.
	Next Cursor
	// More: there are further changes.
	More bool
}
