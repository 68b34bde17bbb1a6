// Package blob is the contract for message bodies: written once, durable before
// anyone is told, shared by every mailbox copy and queue entry.
package blob

import (
	"context"
	"errors"
	"io"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// InMemory is the largest body in octets that is held in memory while it is
// written; a larger one goes to a file of its own.
const InMemory = 1 << 20

// Errors that stores give. Everything else is unknown and so temporary.
var (
	ErrNotFound = errors.New("no such body")
	ErrFull     = errors.New("the body store is full")
	ErrSealed   = errors.New("the body store failed to sync and takes no more bodies until a restart")
	ErrCorrupt  = errors.New("the body is damaged: its checksum does not match")
)

// Meta is kept beside the bytes, so that rows can be rebuilt from the store.
// Mailbox and Account are the first ones filed to, zero if none.
type Meta struct {
	Message, Tenant, Account, Mailbox mail.ID
	Time                              int64 // microseconds
}

// Body is a body whose bytes are durable, or will be once a Settler says so. It is not
// findable until Record has committed; without that the store drops it again.
type Body struct {
	ID    mail.ID
	Size  int64  // octets as written
	Place string // opaque to all but the store
}

// Store keeps bodies. Its methods may be called from many goroutines.
type Store interface {
	// Create starts a body under an id of its own.
	Create() Writer

	// Restore starts a body under the id that it had in another store, from
	// which it is moved. No other body of this store may have it, but for one
	// that was dropped or left without a record: it is begun anew.
	Restore(id mail.ID) Writer

	// Record makes bodies findable, in the transaction that also holds the
	// first rows that refer to them.
	Record(tx *db.Tx, bodies ...Body) error

	// Drop tells that bodies will not be recorded: what they hold is given back
	// sooner than it would be otherwise. It must not be called where that is
	// not sure (db.ErrUnknown): then the store finds out by itself.
	Drop(bodies ...Body)

	// Open gives a body for reading, verified; ErrNotFound if there is none.
	Open(ctx context.Context, id mail.ID) (Reader, error)

	// Sweep deletes bodies that no row refers to any more and that are older
	// than the store's grace time, and gives their bytes back. It returns
	// early when ctx ends and says what it did.
	Sweep(ctx context.Context, refs []Reference) (Swept, error)

	// Check verifies every checksum and every row and calls report for each
	// fault found. It changes nothing.
	Check(ctx context.Context, refs []Reference, report func(fault string)) error

	// Health returns nil while the store can write, else why it cannot.
	Health() error

	Close() error
}

// Writer takes one body. It is not safe for use by two goroutines. Exactly one
// of Commit and Abort ends it; Abort after Commit does nothing.
type Writer interface {
	io.Writer
	// Size is how many octets were written.
	Size() int64
	// Reader reads what was written so far, from any place. It is valid until
	// the next Write, Commit or Abort.
	Reader() (*io.SectionReader, error)
	// Commit returns once the bytes are durable. Many commits share a sync.
	Commit(ctx context.Context, m Meta) (Body, error)
	Abort()
}

// Settler is a Store that can make bodies durable while the rows that refer to them are
// written. Its Writers are Preparers.
type Settler interface {
	Store
	// Settle writes bodies that were prepared and fills in their places: Record takes
	// them from then on. The transaction that records them must not commit before
	// durable has returned nil; durable may be called any number of times.
	Settle(bodies []*Body) (durable func() error, err error)
}

// Preparer is a Writer of a Settler.
type Preparer interface {
	Writer
	// Prepare ends the body as Commit does, and leaves it to Settle to make it durable;
	// one that will not be settled is dropped.
	Prepare(m Meta) (Body, error)
}

// Reader reads one body.
type Reader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Swept is what a sweep did.
type Swept struct {
	Bodies int   // rows deleted
	Bytes  int64 // octets given back to the file system
}
