package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hayauma/hayauma/internal/db"
)

// readPatience is how long a Read looks for a connection that works.
const readPatience = 3 * time.Second

// Read is db.DB's.
func (d *DB) Read(ctx context.Context, fn func(*db.Tx) error) error {
	if d.isClosed() {
		return db.ErrClosed
	}
	over := time.Now().Add(readPatience)
	for tries := 0; ; tries++ {
		s, err := d.readOnce(ctx, fn)
		// Only while fn has seen nothing may it run again.
		if err == nil || s.seen || !again(err, tries) || ctx.Err() != nil {
			return err
		}
		if wait := pause(tries); time.Now().Add(wait).After(over) || !d.rest(wait) {
			return err
		}
	}
}

// reading is what became of a read.
type reading struct{ seen bool }

func (d *DB) readOnce(ctx context.Context, fn func(*db.Tx) error) (r reading, err error) {
	c, err := d.acquire(ctx)
	if err != nil {
		return r, err
	}
	runCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.o.Timeout)
	defer cancel()
	s := &session{ctx: runCtx, c: c.Conn(), texts: &d.texts, inserts: &d.inserts, begin: "begin isolation level repeatable read read only"}
	defer func() {
		s.ended = true
		r.seen = s.got
		d.endRead(c, s)
	}()
	err = fn(db.NewTx(s))
	if err == nil {
		err = s.err
	}
	return r, err
}

// endRead gives the connection back. The end of a read has nothing to tell, so
// nobody waits for it.
func (d *DB) endRead(c *pgxpool.Conn, s *session) {
	if s.open != nil {
		_ = s.open.finish() // what fn left open it did not want to know
	}
	if s.begin != "" || c.Conn().IsClosed() {
		c.Release()
		return
	}
	go func() {
		defer c.Release()
		ctx, cancel := context.WithTimeout(context.Background(), d.o.Timeout)
		defer cancel()
		if _, err := c.Exec(ctx, "commit"); err != nil {
			_ = c.Conn().Close(ctx) // its end ends the transaction
		}
	}()
}

func (d *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	wait, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	c, err := d.readers.Acquire(wait)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case d.isClosed():
		return nil, db.ErrClosed
	}
	return nil, wrap(err)
}
