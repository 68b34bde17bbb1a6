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
	// (about 20 ms), do no I/O of its own (package intake waits in it for the sync of
	// the bodies that its rows name), not call the engine again, and return
	// the first error that a statement gives it. ctx governs only the wait for a
	// place in a group, never a running statement. ErrOverloaded says that too
	// many wait, ErrFull that there is no space (see WithReserve).
	Write(ctx context.Context, fn func(*Tx) error) error

	// Read runs fn over one snapshot. It must be short as well: a long walk
	// is done in slices, each its own Read.
	Read(ctx context.Context, fn func(*Tx) error) error

	// Parallel is how many Writes can make progress at the same time: 1 for an
	// engine with one writer. Whoever forms groups forms that many at once.
	Parallel() int

	// Migrate brings the tables of each schema up to its last step, in the
	// order given. It refuses a database that has more steps than the schema.
	Migrate(ctx context.Context, schemas ...Schema) error

	// Pending tells which steps Migrate would take, and refuses what it would
	// refuse. It changes nothing.
	Pending(ctx context.Context, schemas ...Schema) ([]Step, error)

	// Announce tells other processes on the same database, soon after a commit,
	// that rows have changed. It is a hint, which may get lost: who listens looks
	// for himself from time to time. It does not block.
	Announce(topic string, ids ...int64)

	// Listen calls f with the ids that other processes announce, or with none
	// when some may have got lost, until ctx ends. It returns false at once where
	// no other process can use the database. f must not block.
	Listen(ctx context.Context, topic string, f func(ids []int64)) bool

	// Health returns nil while the engine can commit, else why it cannot.
	Health() error

	// Broken is closed once nothing can be written until the engine is opened anew.
	// Health then says why.
	Broken() <-chan struct{}

	// Check verifies the engine's own files and the references between rows,
	// and calls report for each fault. It changes nothing.
	Check(ctx context.Context, report func(fault string)) error

	// Close waits for the running group and ends the engine.
	Close() error
}

// Errors that engines give. Everything else that an engine returns is unknown
// and so temporary.
var (
	ErrNoRows      = errors.New("no such row")
	ErrConflict    = errors.New("a row with this key exists already")
	ErrFull        = errors.New("the storage is full")
	ErrOverloaded  = errors.New("too many writes are waiting")
	ErrClosed      = errors.New("the database is closed")
	ErrCorrupt     = errors.New("the database file is damaged")
	ErrInUse       = errors.New("another process is using the database")
	ErrNewer       = errors.New("the database was written by a newer version of hayauma")
	ErrUnavailable = errors.New("the database does not answer")
	// ErrUnknown says that the answer to a COMMIT was lost: the rows may be
	// there or not. Writing them again could write them twice. The engine goes
	// on asking; if they are there, the hooks of Tx.OnCommit run late.
	ErrUnknown = errors.New("it is not known whether the database has committed")
)

// RefusesAll tells whether an error is about the engine and not about a row,
// so that trying the parts of a group one by one would only fail more often,
// or, after ErrUnknown, write twice.
func RefusesAll(err error) bool {
	for _, all := range []error{ErrFull, ErrOverloaded, ErrClosed, ErrCorrupt, ErrInUse, ErrUnavailable, ErrUnknown} {
		if errors.Is(err, all) {
			return true
		}
	}
	return false
}

// Schema is the tables of one domain package: numbered steps that only ever
// grow at the end.
type Schema struct {
	Package string // the owner's name, "mailbox"
	Steps   []Stmt // step n is number n+1; each may hold several statements
}

// Step is one step of a schema.
type Step struct {
	Package string
	Number  int // from 1
	SQL     string
}
