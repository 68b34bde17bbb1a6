package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is an SMTP server that takes every message and keeps none: what is left
// when a server does nothing but talk. One read and one write per step.
type Sink struct {
	Addr  string        // loopback only; port 0 takes a free one
	Delay time.Duration // before the reply to each message
	// Everywhere: all addresses of 127.0.0.0/8 lead here. It listens on others too,
	// and hangs up on who comes from there.
	Everywhere bool

	ln     net.Listener
	count  atomic.Int64
	bytes  atomic.Int64
	target atomic.Int64
	hit    chan struct{} // signals that target was passed; one slot
	quit   chan struct{} // closed by Close
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  map[net.Conn]struct{} // nil once closed
	idle   sync.Pool             // of *sinkSession
}

// idleLimit ends a sink's connection on which nothing happens.
const idleLimit = 5 * time.Minute

// Start listens and serves until Close.
func (s *Sink) Start(ctx context.Context) error {
	t, err := ParseTarget(ctx, s.Addr)
	if err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	if s.Everywhere {
		if _, port, perr := net.SplitHostPort(t.Address); perr == nil {
			t.Address = net.JoinHostPort("0.0.0.0", port)
		}
	}
	if s.ln, err = t.Listen(ctx); err != nil {
		return fmt.Errorf("sink: %w", err)
	}
	s.hit, s.quit = make(chan struct{}, 1), make(chan struct{})
	s.conns = make(map[net.Conn]struct{})
	s.wg.Go(s.accept)
	return nil
}

// Address is where the sink listens.
func (s *Sink) Address() string {
	if _, port, err := net.SplitHostPort(s.ln.Addr().String()); err == nil && s.Everywhere {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return s.ln.Addr().String()
}

// Count is how many messages it took.
func (s *Sink) Count() int64 { return s.count.Load() }

// Bytes is how much mail it took, without envelopes.
func (s *Sink) Bytes() int64 { return s.bytes.Load() }

// Wait returns when the count reached n, or with the error of ctx. One caller at
// a time.
func (s *Sink) Wait(ctx context.Context, n int64) error {
	s.target.Store(n)
	for s.count.Load() < n {
		select {
		case <-s.hit:
		case <-ctx.Done():
			return fmt.Errorf("sink: %d of %d messages came: %w", s.count.Load(), n, ctx.Err())
		}
	}
	return nil
}

// Close ends the listener and all connections. Call it once.
func (s *Sink) Close() {
	close(s.quit)
	_ = s.ln.Close() // nothing is kept that could be lost
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Sink) accept() {
	for {
		c, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// A peer that left before it was accepted, or no descriptor left.
			if !s.wait(pollEvery) {
				return
			}
			continue
		}
		if from, ok := c.RemoteAddr().(*net.TCPAddr); ok && !from.IP.IsLoopback() {
			_ = c.Close()
			continue
		}
		s.mu.Lock()
		if s.conns == nil {
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(c)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// wait is false when the sink was closed meanwhile.
func (s *Sink) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.quit:
		return false
	case <-t.C:
		return true
	}
}

// sinkSession reads into one buffer and answers all that a read brought at once.
type sinkSession struct {
	sink   *Sink
	buf    []byte
	r, w   int
	out    []byte
	inData bool
	start  bool // at the first byte of a message, where a dot alone ends it too
	quit   bool
}

func (s *Sink) serve(c net.Conn) {
	ss, ok := s.idle.Get().(*sinkSession)
	if !ok {
		ss = &sinkSession{sink: s, buf: make([]byte, 64<<10), out: make([]byte, 0, 1024)}
	}
	defer s.idle.Put(ss)
	*ss = sinkSession{sink: s, buf: ss.buf, out: append(ss.out[:0], "220 sink.invalid ESMTP\r\n"...)}
	for !ss.quit {
		if len(ss.out) > 0 {
			if _, err := c.Write(ss.out); err != nil {
				return
			}
			ss.out = ss.out[:0]
		}
		if ss.w == len(ss.buf) {
			return // a command longer than the buffer
		}
		if err := c.SetReadDeadline(time.Now().Add(idleLimit)); err != nil {
			return
		}
		n, err := c.Read(ss.buf[ss.w:])
		if err != nil {
			return
		}
		ss.w += n
		ss.consume()
	}
	_, _ = c.Write(ss.out) // the 221; a peer that does not wait for it is fine
}

func (ss *sinkSession) consume() {
	for ss.r < ss.w && !ss.quit {
		if ss.inData {
			if !ss.body() {
				break
			}
			continue
		}
		i := bytes.IndexByte(ss.buf[ss.r:ss.w], '\n')
		if i < 0 {
			break
		}
		ss.command(ss.buf[ss.r : ss.r+i])
		ss.r += i + 1
	}
	ss.w = copy(ss.buf, ss.buf[ss.r:ss.w])
	ss.r = 0
}

// body looks for the end of the message; false when more must be read.
func (ss *sinkSession) body() bool {
	rest := ss.buf[ss.r:ss.w]
	if ss.start {
		if len(rest) < len(endOfData) {
			return false
		}
		if bytes.HasPrefix(rest, []byte(endOfData)) {
			ss.finish(len(endOfData))
			return true
		}
		ss.start = false
	}
	mark := []byte("\r\n" + endOfData)
	if i := bytes.Index(rest, mark); i >= 0 {
		ss.finish(i + len(mark))
		return true
	}
	// Keep what could be the beginning of the mark.
	if drop := len(rest) - len(mark) + 1; drop > 0 {
		ss.sink.bytes.Add(int64(drop))
		ss.r += drop
	}
	return false
}

func (ss *sinkSession) finish(n int) {
	s := ss.sink
	ss.r += n
	ss.inData = false
	if s.Delay > 0 && !s.wait(s.Delay) {
		ss.quit = true
		return
	}
	s.bytes.Add(int64(n - len(endOfData)))
	if s.count.Add(1) >= s.target.Load() {
		select {
		case s.hit <- struct{}{}:
		default:
		}
	}
	ss.out = append(ss.out, "250 2.0.0 gone\r\n"...)
}

func (ss *sinkSession) command(line []byte) {
	switch {
	case hasVerb(line, "MAIL"), hasVerb(line, "RCPT"), hasVerb(line, "RSET"),
		hasVerb(line, "NOOP"), hasVerb(line, "HELO"):
		ss.out = append(ss.out, "250 2.0.0 ok\r\n"...)
	case hasVerb(line, "DATA"):
		ss.inData, ss.start = true, true
		ss.out = append(ss.out, "354 go on\r\n"...)
	case hasVerb(line, "EHLO"):
		ss.out = append(ss.out, "250-sink.invalid\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 0\r\n"...)
	case hasVerb(line, "QUIT"):
		ss.quit = true
		ss.out = append(ss.out, "221 2.0.0 bye\r\n"...)
	default:
		ss.out = append(ss.out, "500 5.5.2 unknown\r\n"...)
	}
}

func hasVerb(line []byte, verb string) bool {
	return len(line) >= len(verb) && bytes.EqualFold(line[:len(verb)], []byte(verb))
}
