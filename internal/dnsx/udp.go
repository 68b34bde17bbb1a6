package dnsx

import (
	"context"
	"encoding/binary"
	"net"
	"sync"

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
	mu   sync.Mutex
	open map[string]*socket // by server: the one that takes new questions
}

type socket struct {
	server  string
	conn    net.Conn
	asked   int
	waiting map[uint16]chan []byte // by the number of the question
	failed  chan struct{}          // closed when err is set
	err     error
}

// maxForged is how many answers may come for a question before they are looked at.
const maxForged = 4

// datagram asks one question and waits for its answer. What does not answer it is
// passed over: the true answer may still come.
func (s *sockets) datagram(ctx context.Context, server string, m *dns.Msg) (*dns.Msg, error) {
	c, answers, err := s.join(ctx, server, m)
	if err != nil {
		return nil, err
	}
	defer s.leave(c, m.Id)
	octets, err := m.Pack()
	if err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(octets); err != nil {
		return nil, err
	}
	for {
		select {
		case octets := <-answers:
			answer := new(dns.Msg)
			if err := answer.Unpack(octets); err == nil && answersTo(answer, m) {
				return answer, nil
			}
		case <-c.failed:
			return nil, c.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// join gives a question a place at a socket, and a number that no other one has there.
func (s *sockets) join(ctx context.Context, server string, m *dns.Msg) (*socket, chan []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.open[server]
	if c == nil {
		s.mu.Unlock()
		conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
		s.mu.Lock()
		if err != nil {
			return nil, nil, err
		}
		c = &socket{server: server, conn: conn, waiting: map[uint16]chan []byte{}, failed: make(chan struct{})}
		if s.open == nil {
			s.open = map[string]*socket{}
		}
		if s.open[server] == nil { // else two came at once: this one serves its question alone
			s.open[server] = c
		}
		go s.read(c)
	}
	for c.waiting[m.Id] != nil {
		m.Id = dns.Id()
	}
	answers := make(chan []byte, maxForged)
	c.waiting[m.Id] = answers
	if c.asked++; c.asked == maxAsked {
		s.retire(c)
	}
	return c, answers, nil
}

// leave takes a question away. s closes the socket after the last one.
func (s *sockets) leave(c *socket, id uint16) {
	s.mu.Lock()
	delete(c.waiting, id)
	last := len(c.waiting) == 0
	if last {
		s.retire(c)
	}
	s.mu.Unlock()
	if last {
		_ = c.conn.Close() // nobody waits for anything there
	}
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
		if n < 2 {
			continue
		}
		s.mu.Lock()
		answers := c.waiting[binary.BigEndian.Uint16(buf[:])]
		s.mu.Unlock()
		select {
		case answers <- append([]byte(nil), buf[:n]...):
		default: // nobody asked, or far too many answered
		}
	}
}
