// Package db is the contract between the domain packages and an SQL engine:
// durable writes in groups, reads of one snapshot, statements with their
// dialect variants, numbered schemas.
package db

import (
	"context"
	"errors"
)

// DB is an engine. Its methods may be called from many goroutines.
type DB interface {
	// Write runs fn in a transaction and returns once what it wrote is
	// durable. Several functions may share one transaction; each is then a
	// savepoint of its own, so an error from fn undoes only fn's rows and is
	// returned as it is. fn may run more than once, so it touches nothing
	// outside its Tx; side effects go through Tx.OnCommit. It must be short
	// (about 20 ms), do no I/O of its own, not call the engine again, and return
	// the first error that a statement gives it. ctx governs only the wait for a
	// place in a group, never a running statement. ErrOverloaded says that too
	// many wait, ErrFull that there is no space (see WithReserve).
	Write(ctx context.Context, fn func(*Tx) error) error

	// Read runs fn over one snapshot. It must be short as well: a long walk
	// is done in slices, each its own Read.
	Read(ctx context.Context, fn func(*Tx) error) error

	// Migrate brings the tables of each schema up to its last step, in the
	// order given. It refuses a database that has more steps than the schema.
	Migrate(ctx context.Context, schemas ...Schema) error

	// Health returns nil while the engine can commit, else why it cannot.
	Health() error

	// Check verifies the engine's own files and the references between rows,
	// and calls report for each fault. It changes nothing.
	Check(ctx context.Context, report func(fault string)) error

	// Close waits for the running group and ends the engine.
	Close() error
}

// Errors that engines give. Everything else that an engine returns is unknown
// and so temporary.
var (
	ErrNoRows     = errors.New("no such row")
	ErrConflict   = errors.New("a row with this key exists already")
	ErrFull       = errors.New("the storage is full")
	ErrOverloaded = errors.New("too many writes are waiting")
	ErrClosed     = errors.New("the database is closed")
	ErrCorrupt    = errors.New("the database file is damaged")
	ErrInUse      = errors.New("another process is using the database")
	ErrNewer      = errors.New("the database was written by a newer version of hayauma")
)

// Schema is the tables of one domain package: numbered steps that only ever
// grow at the end.
type Schema struct {
	Package string // the owner's name, "mailbox"
	Steps   []Stmt // step n is number n+1; each may hold several statements
}
