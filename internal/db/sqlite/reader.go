package sqlite

import (
	"context"

	"github.com/hayauma/hayauma/internal/db"
)

// readers is a pool of connections for snapshots.
type readers struct {
	free   chan *conn
	closed chan struct{}
	all    []*conn
}

func openReaders(n int, o connOptions) (*readers, error) {
	p := &readers{free: make(chan *conn, n), closed: make(chan struct{})}
	o.readOnly = true
	for range n {
		c, err := openConn(o)
		if err != nil {
			_ = p.close() // the error that matters is err
			return nil, err
		}
		p.all = append(p.all, c)
		p.free <- c
	}
	return p, nil
}

func (p *readers) read(ctx context.Context, fn func(*db.Tx) error) (err error) {
	c, err := p.get(ctx)
	if err != nil {
		return err
	}
	defer func() { p.free <- c }()
	if _, err := c.exec("BEGIN", nil); err != nil {
		return err
	}
	t := &txConn{c: c}
	defer func() {
		t.c = nil
		c.closeRows()
		if !c.inTransaction() {
			return
		}
		if _, cerr := c.exec("COMMIT", nil); err == nil {
			err = cerr
		}
	}()
	return fn(db.NewTx(t))
}

func (p *readers) get(ctx context.Context) (*conn, error) {
	select {
	case <-p.closed:
		return nil, db.ErrClosed
	default:
	}
	select {
	case c := <-p.free:
		return c, nil
	default:
	}
	select {
	case c := <-p.free:
		return c, nil
	case <-p.closed:
		return nil, db.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// close waits for the running reads.
func (p *readers) close() error {
	close(p.closed)
	var err error
	for range p.all {
		if cerr := (<-p.free).close(); err == nil {
			err = cerr
		}
	}
	return err
}
