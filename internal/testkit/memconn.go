package testkit

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// memBuffer is how many bytes one direction of an in-memory connection holds
// before Write waits, about what a loopback socket takes.
const memBuffer = 64 << 10

// MemConn is one end of a connection in memory. It behaves like a TCP
// connection with buffers: Write returns before the peer reads, deadlines are
// honoured, and what was written before Close still reaches the peer. It waits
// on sync.Cond and timers only, so a synctest bubble sees it as durably blocked.
type MemConn struct {
	in, out       *stream
	local, remote net.Addr
}

// MemPipe makes a connected pair. The addresses are TCP addresses, since
// servers look at the peer's IP.
func MemPipe(client, server netip.AddrPort) (clientEnd, serverEnd *MemConn) {
	up, down := newStream(), newStream()
	c, s := net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(server)
	return &MemConn{in: down, out: up, local: c, remote: s},
		&MemConn{in: up, out: down, local: s, remote: c}
}

// Read implements net.Conn.
func (c *MemConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

// Pending is how many octets wait to be read.
func (c *MemConn) Pending() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.data)
}

// Write implements net.Conn.
func (c *MemConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

// Close ends both directions. The peer reads what is still buffered, then EOF.
func (c *MemConn) Close() error {
	if !c.in.closeRead() {
		return c.wrap("close", net.ErrClosed)
	}
	c.out.closeWrite(true)
	return nil
}

// CloseWrite ends this end's direction only, as a half-closed TCP connection.
func (c *MemConn) CloseWrite() error {
	c.out.closeWrite(false)
	return nil
}

// LocalAddr implements net.Conn.
func (c *MemConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *MemConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *MemConn) SetDeadline(at time.Time) error {
	return errors.Join(c.SetReadDeadline(at), c.SetWriteDeadline(at))
}

// SetReadDeadline implements net.Conn.
func (c *MemConn) SetReadDeadline(at time.Time) error {
	return c.wrap("set", c.in.setDeadline(&c.in.reader, at))
}

// SetWriteDeadline implements net.Conn.
func (c *MemConn) SetWriteDeadline(at time.Time) error {
	return c.wrap("set", c.out.setDeadline(&c.out.writer, at))
}

func (c *MemConn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// stream is one direction. reader and writer are the two ends' own states.
type stream struct {
	mu             sync.Mutex
	changed        *sync.Cond
	data           []byte
	reader, writer end
}

type end struct {
	closed  bool // by itself
	gone    bool // by the peer: nobody will read (seen by the writer) or write (seen by the reader)
	expired bool
	timer   *time.Timer
	set     int // counts the deadlines, so that a late timer knows it is stale
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.reader.closed:
			return 0, net.ErrClosed
		case s.reader.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = s.data[n:]
			s.changed.Broadcast()
			return n, nil
		case s.reader.gone:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.writer.closed:
			return written, net.ErrClosed
		case s.writer.gone:
			return written, io.ErrClosedPipe
		case s.writer.expired:
			return written, os.ErrDeadlineExceeded
		}
		if room := memBuffer - len(s.data); room > 0 {
			n := min(room, len(p)-written)
			s.data = append(s.data, p[written:written+n]...)
			written += n
			s.changed.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		s.changed.Wait()
	}
}

// closeRead says whether this was the first close.
func (s *stream) closeRead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reader.closed {
		return false
	}
	s.reader.closed, s.writer.gone, s.data = true, true, nil
	s.reader.stopTimer()
	s.changed.Broadcast()
	return true
}

func (s *stream) closeWrite(whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writer.closed, s.reader.gone = true, true
	if whole {
		s.writer.stopTimer()
	}
	s.changed.Broadcast()
}

func (s *stream) setDeadline(e *end, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.stopTimer()
	e.expired = false
	if at.IsZero() {
		return nil
	}
	if wait := time.Until(at); wait > 0 {
		set := e.set
		e.timer = time.AfterFunc(wait, func() { s.expire(e, set) })
		return nil
	}
	e.expired = true
	s.changed.Broadcast()
	return nil
}

// expire does nothing if the deadline was moved while its timer was firing.
func (s *stream) expire(e *end, set int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.set != set {
		return
	}
	e.expired = true
	s.changed.Broadcast()
}

func (e *end) stopTimer() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	e.set++
}

// MemListener is a net.Listener whose connections are made by its Dial.
type MemListener struct {
	addr    netip.AddrPort
	accepts chan net.Conn
	done    chan struct{}
	once    sync.Once
	mu      sync.Mutex
	port    uint16
}

// NewMemListener makes a listener that says it listens at addr. Make it inside
// the bubble that uses it.
func NewMemListener(addr netip.AddrPort) *MemListener {
	return &MemListener{addr: addr, accepts: make(chan net.Conn, 128), done: make(chan struct{}), port: 40000}
}

// Accept implements net.Listener.
func (l *MemListener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	default:
	}
	select {
	case c := <-l.accepts:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close implements net.Listener. Connections that wait for Accept are closed.
func (l *MemListener) Close() error {
	l.once.Do(func() { close(l.done) })
	for {
		select {
		case c := <-l.accepts:
			_ = c.Close() // nobody has seen it yet
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (l *MemListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// Dial connects from 127.0.0.1 with a port of its own.
func (l *MemListener) Dial(ctx context.Context) (net.Conn, error) {
	return l.DialFrom(ctx, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// DialFrom connects from the address given, for limits per address.
func (l *MemListener) DialFrom(ctx context.Context, from netip.Addr) (net.Conn, error) {
	l.mu.Lock()
	l.port++
	client, server := MemPipe(netip.AddrPortFrom(from, l.port), l.addr)
	l.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: l.Addr(), Err: errRefused}
	select {
	case <-l.done:
		return nil, refused
	default:
	}
	select {
	case l.accepts <- server:
		return client, nil
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errRefused = errors.New("connection refused")
