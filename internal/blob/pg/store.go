package pg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// States of a body.
const (
	stateWriting = 0 // parts of a large body come in, or it was never recorded
	stateKept    = 1
)

const (
	// partLen is how many octets a part has, but for the last one: a block, as
	// it was written.
	partLen = staging.BlockLen
	// partsAtOnce is how many parts of a large body one statement writes or reads.
	partsAtOnce = 4
)

// DefaultGrace is how old a body is at least before a sweep deletes it, and how
// long one that was committed but never recorded is kept.
const DefaultGrace = time.Hour

// Schema returns the tables of the store. PostgreSQL would compress parts and
// cut them up from 2 KB on; mail compresses badly and is mostly small.
func Schema() db.Schema {
	const tables = `
CREATE TABLE body (
	id INTEGER PRIMARY KEY,
	size INTEGER NOT NULL,
	state INTEGER NOT NULL,
	created INTEGER NOT NULL
);
CREATE INDEX body_writing ON body (id) WHERE state = 0;
CREATE TABLE body_part (
	body INTEGER NOT NULL,
	number INTEGER NOT NULL,
	sum BLOB NOT NULL,
	bytes BLOB NOT NULL,
	PRIMARY KEY (body, number)
) WITHOUT ROWID;
`
	return db.Schema{Package: "blob_pg", Steps: []db.Stmt{{
		SQL: tables,
		Postgres: tables + `
ALTER TABLE body_part ALTER COLUMN bytes SET STORAGE EXTERNAL;
ALTER TABLE body_part SET (toast_tuple_target = 8160);
`,
	}}}
}

// Options are what a store needs. DB and IDs have no default.
type Options struct {
	DB     db.DB // migrated with Schema
	IDs    *mail.IDs
	Logger *slog.Logger // nil = silent
	Grace  time.Duration
	Memory staging.Memory // nil = no limit on bodies being written
}

var errClosed = errors.New("the body store is closed")

// Store is a blob.Store in a database.
type Store struct {
	o    Options
	born mail.ID // larger than the id of any body of earlier processes
	area staging.Area

	mu      sync.Mutex
	pending map[mail.ID]*pending
	oldest  []mail.ID // of pending in memory, in the order of their commits
	closed  bool
}

// pending is a body between Commit and Record.
type pending struct {
	body  *staging.Body // nil = its parts are in the database already
	parts [][]byte      // of body
	since time.Time
}

var _ blob.Store = (*Store)(nil)

// Open returns the store of a database.
func Open(o Options) *Store {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{
		o: o, born: o.IDs.Next(), pending: map[mail.ID]*pending{},
		area: staging.Area{Memory: o.Memory, Gather: partsAtOnce},
	}
}

const (
	// recordWithin is how long a large body may wait between Commit and Record.
	recordWithin = time.Hour
	// holdWithin is how long octets wait in memory: whoever has not begun to
	// record them by then has given up, and said so to the sender.
	holdWithin = 2 * time.Minute
)

// wait keeps a committed body for Record.
func (s *Store) wait(id mail.ID, p *pending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	s.expire()
	p.since = time.Now()
	s.pending[id] = p
	if p.body != nil {
		s.oldest = append(s.oldest, id)
	}
	return nil
}

// expire forgets bodies in memory that nobody recorded. s.mu is held.
func (s *Store) expire() {
	for len(s.oldest) > 0 {
		p := s.pending[s.oldest[0]]
		if p != nil && time.Since(p.since) < holdWithin {
			return
		}
		s.forget(s.oldest[0])
		s.oldest = s.oldest[1:]
	}
}

// expireLarge forgets large bodies that are too old to be recorded.
func (s *Store) expireLarge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.pending {
		if p.body == nil && time.Since(p.since) > max(s.o.Grace, recordWithin) {
			delete(s.pending, id)
		}
	}
}

// forget lets go of a body that may just be recorded nevertheless. s.mu is held.
func (s *Store) forget(id mail.ID) {
	if p := s.pending[id]; p != nil && p.body != nil {
		p.body.Disown()
	}
	delete(s.pending, id)
}

// release lets go of bodies that nobody reads any more.
func (s *Store) release(bodies []blob.Body) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range bodies {
		if p := s.pending[b.ID]; p != nil && p.body != nil {
			p.body.Release()
		}
		delete(s.pending, b.ID)
	}
}

// touch returns a body that is about to be recorded, nil if it is not known.
func (s *Store) touch(id mail.ID) *pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending[id]
	if p != nil {
		p.since = time.Now()
	}
	return p
}

var (
	insertBody = db.Insert{Into: "body", Columns: []string{"id", "size", "state", "created"}}
	insertPart = db.Insert{Into: "body_part", Columns: []string{"body", "number", "sum", "bytes"}}
	keepBodies = db.SQL("UPDATE body SET state = 1 WHERE id IN (@ids) AND state = 0")
)

// Record implements blob.Store.
func (s *Store) Record(tx *db.Tx, bodies ...blob.Body) error {
	now := mail.Micros(time.Now())
	var rows, parts [][]any
	var large []int64
	for _, b := range bodies {
		p := s.touch(b.ID)
		switch {
		case p == nil:
			return fmt.Errorf("record body %s: %w: it was committed too long ago, or recorded already", b.ID, blob.ErrNotFound)
		case p.body == nil:
			large = append(large, int64(b.ID))
			continue
		}
		rows = append(rows, []any{int64(b.ID), b.Size, stateKept, now})
		parts = appendParts(parts, b.ID, 0, p.parts)
	}
	if err := tx.Insert(insertBody, rows...); err != nil {
		return fmt.Errorf("record bodies: %w", err)
	}
	if err := insertParts(tx, parts); err != nil {
		return fmt.Errorf("record bodies: %w", err)
	}
	if n, err := tx.ExecIn(keepBodies, db.In{IDs: large}); err != nil || n != int64(len(large)) {
		return errors.Join(fmt.Errorf("record bodies: %w: %d of %d large ones are there", blob.ErrNotFound, n, len(large)), err)
	}
	tx.OnCommit(func() { s.release(bodies) })
	return nil
}

// appendParts appends the rows of parts from number first on.
func appendParts(rows [][]any, id mail.ID, first int, parts [][]byte) [][]any {
	for i, p := range parts {
		rows = append(rows, []any{int64(id), first + i, sum(id, first+i, p), p})
	}
	return rows
}

// groupLen bounds the octets of parts in one statement.
const groupLen = 1 << 20

func insertParts(tx *db.Tx, parts [][]any) error {
	for len(parts) > 0 {
		n, octets := 0, 0
		for n < len(parts) && (n == 0 || octets < groupLen) {
			octets += len(parts[n][3].([]byte))
			n++
		}
		if err := tx.Insert(insertPart, parts[:n]...); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// Drop implements blob.Store. The parts of a large body are left to the sweep.
func (s *Store) Drop(bodies ...blob.Body) { s.release(bodies) }

// Health implements blob.Store: the database is the one to ask.
func (s *Store) Health() error {
	if err := s.open(); err != nil {
		return err
	}
	return s.o.DB.Health()
}

func (s *Store) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	return nil
}

// Close implements blob.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for id := range s.pending {
		s.forget(id)
	}
	s.oldest = nil
	return nil
}

// lookup reads a recorded body's size; blob.ErrNotFound if there is none.
func (s *Store) lookup(ctx context.Context, id mail.ID) (size int64, err error) {
	err = s.o.DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT size FROM body WHERE id = ? AND state = 1"), []any{int64(id)}, &size)
	})
	if errors.Is(err, db.ErrNoRows) {
		return 0, fmt.Errorf("body %s: %w", id, blob.ErrNotFound)
	}
	return size, err
}
