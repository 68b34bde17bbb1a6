package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hayauma/hayauma/internal/db"
)

// result is how a try to write ended.
type result int

const (
	committed result = iota
	undone           // surely not committed
	unknown
)

// attempt is one transaction of a Write.
type attempt struct {
	mark  int64 // its row in write_mark
	after []func()
	own   bool // its error is the function's own
}

// Write is db.DB's. Each call is a transaction of its own: the groups form
// where the rows are made.
func (d *DB) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := d.enter(ctx); err != nil {
		return err
	}
	defer d.leave()
	over := time.Now().Add(d.o.Patience)
	until := over.Add(-d.o.Patience / lookShare)
	for tries := 0; ; tries++ {
		a := attempt{mark: rand.Int64()} //nolint:gosec // a name that is not used twice, no secret
		how, err := d.try(&a, fn, until)
		if how == unknown {
			how, err = d.clear(&a, err, over)
		}
		if how != unknown {
			d.commits.answered(a.mark)
		}
		switch how {
		case committed:
			d.hooks(a.after)
			return nil
		case unknown:
			return err
		}
		if a.own || !again(err, tries) {
			return err
		}
		if wait := pause(tries); time.Now().Add(wait).Before(until) && d.rest(wait) {
			continue
		}
		return fmt.Errorf("%w: %w", db.ErrUnavailable, err)
	}
}

// Of a Write's patience the last fifth is for the look-up of a COMMIT that had no
// answer, and a third without one is a sign that the database cannot commit.
const (
	lookShare  = 5
	slowCommit = 3
)

// pause is how long to wait before try number n+1: soon at first, since a dead
// connection of the pool is replaced at once.
func pause(n int) time.Duration {
	const first, most = 5 * time.Millisecond, 500 * time.Millisecond
	if n > 6 {
		return most
	}
	return min(most, first<<n) + rand.N(first) //nolint:gosec // jitter
}

// try runs fn in one transaction, whose connection is given up after until.
func (d *DB) try(a *attempt, fn func(*db.Tx) error, until time.Time) (result, error) {
	if err := d.refuses(); err != nil {
		return undone, err
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	c, err := d.writers.Acquire(ctx)
	if err != nil {
		return undone, wrap(err)
	}
	defer c.Release() // a connection that is not idle is closed by the pool
	s := &session{ctx: ctx, c: c.Conn(), texts: &d.texts, inserts: &d.inserts, begin: "begin isolation level read committed", write: true}
	tx := db.NewTx(s)
	err = d.protect(fn, tx)
	if err == nil && s.open != nil {
		err = s.open.buffer()
	}
	s.ended = true
	a.after = tx.Committed()
	switch {
	case s.err != nil && (err == nil || again(s.err, 0)):
		// The transaction is lost, whatever fn made of it.
		d.rollback(ctx, c, s)
		return undone, s.err
	case err != nil:
		a.own = s.err == nil
		d.rollback(ctx, c, s)
		return undone, err
	case s.begin != "":
		return committed, nil // no statement, nothing to commit
	}
	return d.commit(ctx, c, a)
}

func (d *DB) protect(fn func(*db.Tx) error, tx *db.Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a write function: %v", p)
			d.log.Error("panic in a write function", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return fn(tx)
}

func (d *DB) rollback(ctx context.Context, c *pgxpool.Conn, s *session) {
	if s.open != nil {
		_ = s.open.finish() // the error that matters came before
	}
	if s.begin != "" || c.Conn().IsClosed() {
		return
	}
	if _, err := c.Exec(ctx, "rollback"); err != nil {
		_ = c.Conn().Close(ctx) // its end rolls back as well
	}
}

// insertMark leaves the row by which a lost answer to COMMIT is cleared up. It
// fails for a process whose time is over: then the epoch is another.
const insertMark = `INSERT INTO write_mark (id, at, void) VALUES ($1,
	(SELECT extract(epoch FROM now())::bigint FROM storage_owner WHERE epoch = $2), false)`

func (d *DB) commit(ctx context.Context, c *pgxpool.Conn, a *attempt) (result, error) {
	start := time.Now()
	d.commits.sent(a.mark, start)
	notices := noticesOf(c.Conn())
	notices.warning = ""
	b := &pgx.Batch{}
	b.Queue(insertMark, a.mark, d.epoch.Load())
	b.Queue("commit")
	results := c.SendBatch(ctx, b)
	_, err := results.Exec()
	if err != nil {
		_ = results.Close()
		if certain(err) {
			_, _ = c.Exec(ctx, "rollback") // else the pool closes the connection
			if code(err) == codeNotNull {
				return undone, d.breakWith(fmt.Errorf("%w: %w", db.ErrInUse, errNotUs))
			}
			return undone, wrap(err)
		}
		return unknown, wrap(err)
	}
	tag, err := results.Exec()
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	switch {
	case err != nil && certain(err):
		return undone, wrap(err)
	case err != nil:
		return unknown, wrap(err)
	case tag.String() != "COMMIT":
		return undone, fmt.Errorf("postgres: COMMIT was answered with %s", tag)
	case notices.warning != "":
		// It is committed here, but perhaps on no standby.
		return unknown, fmt.Errorf("postgres: warning on COMMIT: %s", notices.warning)
	}
	d.o.Observe(time.Since(start), 1)
	return committed, nil
}

// clear finds out what became of a transaction whose COMMIT was not answered.
// What is not known in time is left to the background, which runs the hooks if
// it turns out to be committed.
func (d *DB) clear(a *attempt, cause error, over time.Time) (result, error) {
	d.log.Warn("the answer to a COMMIT was lost; looking whether it was done", "error", cause)
	d.unclear.Add(1)
	defer d.unclear.Add(-1)
	for n := 0; ; n++ {
		how, err := d.lookUp(a.mark, over)
		if err == nil {
			return how, cause
		}
		if wait := pause(n); time.Now().Add(wait).After(over) || !d.rest(wait) {
			d.later(a)
			return unknown, fmt.Errorf("%w: %w", db.ErrUnknown, cause)
		}
	}
}

// lookUp asks for the mark of a transaction, or else puts one there that keeps
// the transaction from ever committing. The mark of one that is still running
// makes it wait, at most until over.
func (d *DB) lookUp(mark int64, over time.Time) (result, error) {
	ctx, cancel := context.WithDeadline(context.Background(), over)
	defer cancel()
	c, err := d.writers.Acquire(ctx)
	if err != nil {
		return unknown, err
	}
	defer c.Release()
	notices := noticesOf(c.Conn())
	notices.warning = ""
	b := &pgx.Batch{}
	b.Queue("begin isolation level read committed")
	b.Queue("INSERT INTO write_mark (id, at, void) VALUES ($1, extract(epoch FROM now())::bigint, true) ON CONFLICT (id) DO NOTHING", mark)
	b.Queue("SELECT void FROM write_mark WHERE id = $1", mark)
	// A row of its own, so that the commit has something to replicate: where it
	// has reached a standby, all before it has.
	b.Queue("INSERT INTO write_mark (id, at, void) VALUES ($1, extract(epoch FROM now())::bigint, true)", rand.Int64()) //nolint:gosec // as in Write
	b.Queue("commit")
	results := c.SendBatch(ctx, b)
	var void bool
	_, err = results.Exec()
	if err == nil {
		_, err = results.Exec()
	}
	if err == nil {
		err = results.QueryRow().Scan(&void)
	}
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	if err == nil && notices.warning != "" {
		err = errors.New(notices.warning)
	}
	if err != nil {
		return unknown, err
	}
	if void {
		return undone, nil
	}
	return committed, nil
}

// later goes on with clear after the caller has its answer.
func (d *DB) later(a *attempt) {
	d.unclear.Add(1)
	d.work.Go(func() {
		defer d.unclear.Add(-1)
		for n := 0; d.rest(pause(n)); n++ {
			how, err := d.lookUp(a.mark, time.Now().Add(keeperTimeout))
			if err != nil {
				continue
			}
			d.commits.answered(a.mark)
			if how == committed {
				d.hooks(a.after)
			}
			return
		}
	})
}

// rest waits; false = the engine is being closed.
func (d *DB) rest(wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-d.closing:
		return false
	}
}

func (d *DB) hooks(after []func()) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("panic in a commit hook", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	for _, f := range after {
		f()
	}
}
