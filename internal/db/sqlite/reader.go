package sqlite

import (
	"context"
	"sync"

	"github.com/hayauma/hayauma/internal/db"
)

// readers is a pool of connections for snapshots. The one that was used last is
// used next: its page cache is the warmest, and those that nobody needs stay empty.
type readers struct {
	places chan struct{} // one for each connection in free
	closed chan struct{}
	all    []*conn

	mu   sync.Mutex
	free []*conn
}

func openReaders(n int, o connOptions) (*readers, error) {
	p := &readers{places: make(chan struct{}, n), closed: make(chan struct{})}
	o.readOnly = true
	for range n {
		c, err := openConn(o)
		if err != nil {
			_ = p.close() // the error that matters is err
			return nil, err
		}
		p.all = append(p.all, c)
		p.put(c)
	}
	return p, nil
}

func (p *readers) read(ctx context.Context, fn func(*db.Tx) error) (err error) {
	c, err := p.get(ctx)
	if err != nil {
		return err
	}
	defer p.put(c)
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
	case <-p.places:
		return p.pop(), nil
	default:
	}
	select {
	case <-p.places:
		return p.pop(), nil
	case <-p.closed:
		return nil, db.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *readers) put(c *conn) {
	p.mu.Lock()
	p.free = append(p.free, c)
	p.mu.Unlock()
	p.places <- struct{}{}
}

// pop takes the connection of a place.
func (p *readers) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	c := p.free[last]
	p.free = p.free[:last]
	return c
}

// close waits for the running reads.
func (p *readers) close() error {
	close(p.closed)
	var err error
	for range p.all {
		<-p.places
		if cerr := p.pop().close(); err == nil {
			err = cerr
		}
	}
	return err
}
