package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

// call is one Write that waits.
type call struct {
	fn    func(*db.Tx) error
	state atomic.Int32 // waiting, taken or left
	done  chan error   // capacity 1

	err   error    // of the last run of fn
	after []func() // what to call once committed
}

const (
	waiting int32 = iota
	taken         // by the writer: it will be answered
	left          // by its caller
)

// writer runs Writes in groups, one goroutine for all.
type writer struct {
	c        *conn
	log      *slog.Logger
	observe  func(commit time.Duration, functions int)
	before   func() // called before each group, holding gate
	after    func() // called after each commit, holding gate
	maxGroup int
	maxTime  time.Duration
	maxQueue int

	gate sync.Mutex // held while a group runs; a checkpoint takes it to stand between groups

	mu      sync.Mutex
	more    *sync.Cond
	queue   []*call
	closed  bool
	broken  atomic.Pointer[brokenError]
	over    chan struct{} // closed once broken is set
	stopped chan struct{}

	// Of the writer's goroutine:
	group     []*call
	answered  int     // how many of group have their answer
	rest      []*call // of a lost group, still to run again
	committed bool    // group is durable, its calls are being answered
	running   *call   // whose function is running
}

// brokenError is why no more commits are possible until a restart.
type brokenError struct{ err error }

func (b *brokenError) Error() string {
	return "the database takes no more writes until a restart: " + b.err.Error()
}

func (b *brokenError) Unwrap() error { return b.err }

func (w *writer) start() {
	w.more = sync.NewCond(&w.mu)
	w.stopped = make(chan struct{})
	go w.run()
}

// write queues fn and waits for its answer.
func (w *writer) write(ctx context.Context, fn func(*db.Tx) error) error {
	if b := w.broken.Load(); b != nil {
		return b
	}
	c := &call{fn: fn, done: make(chan error, 1)}
	w.mu.Lock()
	switch {
	case w.closed:
		w.mu.Unlock()
		return db.ErrClosed
	case len(w.queue) >= w.maxQueue:
		w.mu.Unlock()
		return db.ErrOverloaded
	}
	w.queue = append(w.queue, c)
	w.mu.Unlock()
	w.more.Signal()
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, left) {
			return context.Cause(ctx)
		}
		return <-c.done
	}
}

// take returns the next call, nil if none waits.
func (w *writer) take() *call {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 {
		c := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		if c.state.CompareAndSwap(waiting, taken) {
			return c
		}
	}
	return nil
}

// wait returns once a call waits; false if the writer is to end.
func (w *writer) wait() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.closed {
		w.more.Wait()
	}
	return !w.closed
}

func (w *writer) run() {
	clean := false
	defer func() {
		if !clean {
			w.revive()
		}
	}()
	for w.wait() {
		w.gate.Lock()
		w.before()
		w.commitGroup()
		w.after()
		w.gate.Unlock()
	}
	for c := w.take(); c != nil; c = w.take() {
		c.done <- db.ErrClosed
	}
	clean = true
	close(w.stopped)
}

// revive goes on after a function or a hook ended the goroutine, as
// runtime.Goexit and so testing.T.FailNow do. The call at fault gets an error,
// its neighbours their turn again.
func (w *writer) revive() {
	w.log.Error("a write function ended the writer's goroutine")
	var again []*call
	switch calls := w.group[w.answered:]; {
	case w.committed:
		for _, c := range calls {
			c.done <- c.err
		}
	default:
		w.rollback()
		for _, c := range calls {
			if c == w.running {
				c.done <- errGone
			} else {
				again = append(again, c)
			}
		}
	}
	again = append(again, w.rest...)
	w.group, w.rest, w.answered, w.committed, w.running = nil, nil, 0, false, nil
	for _, c := range again {
		c.state.Store(waiting)
	}
	w.mu.Lock()
	w.queue = append(again, w.queue...)
	w.mu.Unlock()
	w.gate.Unlock()
	go w.run()
}

// close lets the running group end and refuses what waits.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.more.Broadcast()
	<-w.stopped
}

// breakWith makes err final: what reached the disk is unknown, and a sync that
// is tried again may succeed without having written anything.
func (w *writer) breakWith(err error) *brokenError {
	b := &brokenError{err}
	if w.broken.CompareAndSwap(nil, b) {
		w.log.Error("the database failed to sync; it takes no more writes until a restart", "error", err)
		close(w.over)
	}
	return w.broken.Load()
}

// begin opens the transaction of a group.
func (w *writer) begin() error {
	if b := w.broken.Load(); b != nil {
		return b
	}
	if _, err := w.c.exec("BEGIN IMMEDIATE", nil); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return nil
}

func (w *writer) rollback() {
	w.c.closeRows()
	if !w.c.inTransaction() {
		return
	}
	if _, err := w.c.exec("ROLLBACK", nil); err != nil {
		// SQLite ends the transaction even if it says so with an error.
		w.log.Warn("rollback", "error", err)
	}
}
