package dnsx

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// maxAsked bounds the questions of one socket: who wants to forge an answer has to
// guess its port as well as the number of the question (RFC 5452 §9.2), and shall not
// have long for it. So many answers also fit into what the kernel keeps for a socket.
const maxAsked = 64

// sockets asks over UDP. Questions that are under way to one server at the same time
// share a socket: to open one and to close it costs more than all the rest. One that
// nobody waits at any more is closed.
type sockets struct {
	mu    sync.Mutex
	open  map[string]*socket // by server: the one that takes new questions
	seats sync.Pool          // of *seat
}

type socket struct {
	server  string
	conn    net.Conn
	asked   int
	waiting map[uint16]*seat // by the number of the question
	failed  chan struct{}    // closed when err is set
	err     error
}

// seat is where a question waits for its answer. It is used again and again.
type seat struct {
	question *dns.Msg
	answer   chan *dns.Msg // of one place
	late     *time.Timer
	octets   [maxQuestion]byte
}

// maxQuestion is room for the longest name, and what stands around it.
const maxQuestion = 320

// ask asks one question and waits for its answer.
func (s *sockets) ask(ctx context.Context, timeout time.Duration, server string, m *dns.Msg) (*dns.Msg, error) {
	w := s.seat(m, timeout)
	c, err := s.join(ctx, server, w)
	if err != nil {
		return nil, err
	}
	defer s.leave(c, w)
	octets, err := m.PackBuffer(w.octets[:])
	if err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(octets); err != nil {
		return nil, err
	}
	select {
	case answer := <-w.answer:
		return answer, nil
	case <-c.failed:
		return nil, c.err
	case <-w.late.C:
		return nil, context.DeadlineExceeded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *sockets) seat(m *dns.Msg, timeout time.Duration) *seat {
	w, ok := s.seats.Get().(*seat)
	if !ok {
		w = &seat{answer: make(chan *dns.Msg, 1), late: time.NewTimer(timeout)}
	} else {
		w.late.Reset(timeout)
	}
	w.question = m
	return w
}

// join gives a question a place at a socket, and a number that no other one has there.
func (s *sockets) join(ctx context.Context, server string, w *seat) (*socket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[server]
	if c == nil {
		s.mu.Unlock()
		conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
		s.mu.Lock()
		if err != nil {
			return nil, err
		}
		c = &socket{server: server, conn: conn, waiting: map[uint16]*seat{}, failed: make(chan struct{})}
		if s.open == nil {
			s.open = map[string]*socket{}
		}
		if s.open[server] == nil { // else two came at once: this one serves its question alone
			s.open[server] = c
		}
		go s.read(c)
	}
	for c.waiting[w.question.Id] != nil {
		w.question.Id = number()
	}
	c.waiting[w.question.Id] = w
	if c.asked++; c.asked == maxAsked {
		s.retire(c)
	}
	return c, nil
}

// number is one that nobody can guess.
func number() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint16(b[:])
}

// leave takes a question away. Who leaves last closes the socket.
func (s *sockets) leave(c *socket, w *seat) {
	w.late.Stop()
	s.mu.Lock()
	delete(c.waiting, w.question.Id)
	last := len(c.waiting) == 0
	if last {
		s.retire(c)
	}
	s.mu.Unlock()
	if last {
		_ = c.conn.Close() // nobody waits for anything there
	}
	select {
	case <-w.answer: // it came too late
	default:
	}
	w.question = nil
	s.seats.Put(w)
}

// retire gives a socket no more questions. s.mu is held.
func (s *sockets) retire(c *socket) {
	if s.open[c.server] == c {
		delete(s.open, c.server)
	}
}

// read hands out the answers until the socket is closed, or its server is found to be
// away.
func (s *sockets) read(c *socket) {
	var buf [udpSize]byte
	for {
		n, err := c.conn.Read(buf[:])
		if err != nil {
			s.mu.Lock()
			s.retire(c)
			c.err = err
			s.mu.Unlock()
			close(c.failed)
			return
		}
		answer := new(dns.Msg)
		if answer.Unpack(buf[:n]) == nil {
			s.hand(c, answer)
		}
	}
}

// hand gives an answer to who waits for it. What answers nobody's question is passed
// over: the true answer may still come.
func (s *sockets) hand(c *socket, answer *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := c.waiting[answer.Id]
	if w == nil || !answersTo(answer, w.question) {
		return
	}
	select {
	case w.answer <- answer:
	default: // it has one
	}
}
