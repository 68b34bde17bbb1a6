package sqlite

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/hayauma/hayauma/internal/db"
)

// commitGroup takes the calls that wait and gives them one transaction. Hardly
// any function fails after it has changed something, so the first try sets no
// savepoints: it is cheaper to run a group again (its functions expect that)
// than to copy pages for the case that does not come.
func (w *writer) commitGroup() {
	w.newGroup()
	if err := w.begin(); err != nil {
		w.refuseAll(err)
		return
	}
	start := time.Now()
	for w.join(start) {
		c := w.group[len(w.group)-1]
		w.call(c)
		switch {
		case !w.c.inTransaction():
			w.oneByOne()
			return
		case c.err != nil && w.c.wrote:
			w.withSavepoints(start)
			return
		}
	}
	w.commit()
}

// join adds a call that waits to the group begun at start, false if there is
// none or the group is as large as it may be.
func (w *writer) join(start time.Time) bool {
	if len(w.group) >= w.maxGroup || len(w.group) > 0 && time.Since(start) > w.maxTime {
		return false
	}
	c := w.take()
	if c == nil {
		return false
	}
	w.group = append(w.group, c)
	return true
}

// withSavepoints runs the group again and goes on with it, each function in a
// savepoint, so that an error undoes only its own rows.
func (w *writer) withSavepoints(start time.Time) {
	w.rollback()
	if len(w.group) == 1 {
		w.answer()
		return
	}
	if err := w.begin(); err != nil {
		w.answerWith(err)
		return
	}
	for i := 0; i < len(w.group) || w.join(start); i++ {
		if !w.inSavepoint(w.group[i]) {
			w.oneByOne()
			return
		}
	}
	w.commit()
}

// inSavepoint runs one function in a savepoint, false if the transaction is
// lost.
func (w *writer) inSavepoint(c *call) bool {
	if _, err := w.c.exec("SAVEPOINT call", nil); err != nil {
		return false
	}
	w.call(c)
	if !w.c.inTransaction() {
		return false
	}
	if c.err != nil && w.c.wrote {
		if _, err := w.c.exec("ROLLBACK TO call", nil); err != nil {
			return false
		}
	}
	_, err := w.c.exec("RELEASE call", nil)
	return err == nil
}

// oneByOne runs the group again after its transaction was lost, each function
// in a transaction of its own.
func (w *writer) oneByOne() {
	w.rollback()
	w.rest = append(w.rest, w.group...)
	for len(w.rest) > 0 {
		c := w.rest[0]
		w.rest = w.rest[1:]
		w.newGroup(c)
		if err := w.begin(); err != nil {
			w.newGroup(append([]*call{c}, w.rest...)...)
			w.rest = nil
			w.answerWith(err)
			return
		}
		w.call(c)
		switch {
		case !w.c.inTransaction():
			if c.err == nil {
				c.err = w.lost()
			}
			w.rollback()
			w.answer()
		case c.err != nil:
			w.rollback()
			w.answer()
		default:
			w.commit()
		}
	}
	w.rest = nil
}

func (w *writer) lost() error {
	if w.c.last == nil {
		return errEnded
	}
	return fmt.Errorf("the transaction was lost: %w", w.c.last)
}

func (w *writer) newGroup(calls ...*call) {
	w.group, w.answered, w.committed = append(w.group[:0], calls...), 0, false
}

// commit makes the group durable and answers it.
func (w *writer) commit() {
	start := time.Now()
	_, err := w.c.exec("COMMIT", nil)
	switch {
	case err == nil:
		w.observe(time.Since(start), len(w.group))
		w.committed = true
		w.answer()
	case primary(err) == lib.SQLITE_IOERR && !errors.Is(err, db.ErrFull):
		w.rollback()
		w.answerWith(w.breakWith(err))
	case len(w.group) > 1:
		w.oneByOne()
	default:
		w.rollback()
		w.answerWith(fmt.Errorf("commit: %w", err))
	}
}

// call runs one function once.
func (w *writer) call(c *call) {
	w.c.wrote, w.c.last = false, nil
	t := &txConn{c: w.c, write: true}
	tx := db.NewTx(t)
	w.running = c
	c.err = w.protect(c.fn, tx)
	w.running = nil
	t.c = nil
	w.c.closeRows()
	c.after = tx.Committed()
	if c.err != nil && unsynced(c.err) {
		c.err = w.breakWith(c.err)
	}
}

func (w *writer) protect(fn func(*db.Tx) error, tx *db.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a write function: %v", p)
			w.log.Error("panic in a write function", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return fn(tx)
}

// answer tells the callers, after the hooks of those that committed.
func (w *writer) answer() {
	for w.answered < len(w.group) {
		c := w.group[w.answered]
		if c.err == nil {
			w.hooks(c)
		}
		w.answered++
		c.done <- c.err
	}
	// Those just woken write again: let them join the next group.
	runtime.Gosched()
}

func (w *writer) hooks(c *call) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("panic in a commit hook", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	for _, f := range c.after {
		f()
	}
}

// answerWith fails the whole group.
func (w *writer) answerWith(err error) {
	for _, c := range w.group {
		c.err = err
	}
	w.answer()
}

// refuseAll fails all that wait now: without a transaction none can run.
func (w *writer) refuseAll(err error) {
	w.log.Error("no transaction can be opened", "error", err)
	w.mu.Lock()
	n := len(w.queue)
	w.mu.Unlock()
	for range n {
		c := w.take()
		if c == nil {
			break
		}
		c.done <- err
	}
}
