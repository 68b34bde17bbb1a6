package sim

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much a remote that does not read lets us write.
const window = 64 << 10

// conn is the client's end of a connection to a session of a host.
type conn struct {
	w    *world
	p    *process
	name string
	s    *session

	mu       sync.Mutex
	changed  *sync.Cond
	up, down []byte // to the remote, to the client
	read     int    // octets that the client has read in all
	closed   bool   // by the client
	lost     bool   // the client met an error and knows no better
	gone     bool   // by the remote: nothing more comes
	reset    bool   // by the net: nothing goes on
	deadline time.Time
	timer    *time.Timer
}

func newConn(w *world, p *process, name string) *conn {
	c := &conn{w: w, p: p, name: name}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// state says what a read or write finds, under c.mu; nil = it has to wait.
func (c *conn) fault() error {
	switch {
	case c.closed || c.p.dead.Load():
		return net.ErrClosed
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return os.ErrDeadlineExceeded
	case c.reset:
		return syscall.ECONNRESET
	}
	return nil
}

// Read implements net.Conn. Whoever had to wait goes on when the loop says so.
func (c *conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.fault() == nil && len(c.down) == 0 && !c.gone {
		for c.fault() == nil && len(c.down) == 0 && !c.gone {
			c.changed.Wait()
		}
		c.mu.Unlock()
		c.w.gates.pass(c.p, c.name+" read", nil)
		c.mu.Lock()
	}
	if err := c.fault(); err != nil {
		c.lost = true
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: err}
	}
	if len(c.down) == 0 {
		c.lost = true
		return 0, io.EOF
	}
	n := copy(b, c.down)
	c.down = c.down[n:]
	c.read += n
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.fault() == nil && !c.gone && len(c.up) > window {
		c.changed.Wait()
		c.mu.Unlock()
		c.w.gates.pass(c.p, c.name+" write", nil)
		c.mu.Lock()
	}
	err := c.fault()
	if err == nil && c.gone {
		err = syscall.EPIPE
	}
	if err != nil {
		c.lost = true
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: err}
	}
	c.up = append(c.up, b...)
	c.w.gates.signal()
	return len(b), nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.stopTimer()
	c.changed.Broadcast()
	c.w.gates.signal()
	return nil
}

func (c *conn) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopTimer()
	c.deadline = at
	if wait := time.Until(at); at.IsZero() || c.closed || wait <= 0 {
		c.changed.Broadcast()
	} else {
		c.timer = time.AfterFunc(wait, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.changed.Broadcast()
		})
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(at time.Time) error { return c.SetDeadline(at) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(at time.Time) error { return c.SetDeadline(at) }

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// dial is the net of one process.
func (p *process) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w := p.w
	name := actor(ctx) + " dial " + addr
	refused := &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	a := w.gates.pass(p, name, func() answer {
		h := w.hosts[at.Addr()]
		switch {
		case h == nil || h.refuses:
			return answer{err: refused}
		case h.hangs:
			return answer{value: "hang"}
		}
		w.dials++
		c := newConn(w, p, fmt.Sprintf("conn%d", w.dials))
		c.s = newSession(h, c)
		w.sessions = append(w.sessions, c.s)
		w.trace("%s to %s", c.name, h.name)
		return answer{value: c}
	})
	switch {
	case a.dead:
		return nil, errDead
	case a.err != nil:
		return nil, a.err
	}
	if c, ok := a.value.(*conn); ok {
		if ctx.Err() == nil {
			return c, nil
		}
		_ = c.Close()
		return nil, ctx.Err()
	}
	<-ctx.Done()
	if w.gates.pass(p, name+" given up", nil).dead {
		return nil, errDead
	}
	return nil, ctx.Err()
}
