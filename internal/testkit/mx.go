package testkit

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// MXOptions describe a fake mail exchanger. The zero value is a polite server
// without TLS on a free port.
type MXOptions struct {
	Addr     string      // "ip:port"; empty = 127.0.0.1 and a free port
	Hostname string      // in the greeting; empty = mx.example.test
	TLS      *tls.Config // not nil: STARTTLS is offered
	Keywords []string    // EHLO keywords; nil = PIPELINING SIZE 8BITMIME ENHANCEDSTATUSCODES SMTPUTF8
	Auth     bool        // AUTH PLAIN LOGIN is offered; any password is right
	// SASL knows more mechanisms. Keywords announce them.
	SASL *sasl.Server
	LMTP bool // LHLO instead of EHLO, one reply per recipient after the data
}

// MXRule replaces the polite reply to a command. The first rule that matches
// is used; Nth and Times count the times that its Command and Contains matched.
type MXRule struct {
	// Command is a verb in upper case, or CONNECT (the greeting), BODY (the
	// message while it comes in) or END (the final dot; with LMTP once for
	// each recipient, Contains then looks at the recipient).
	Command  string
	Contains string // only if the argument contains this, in any case
	Nth      int    // only the n-th match, from 1; 0 = every
	Times    int    // at most the first n matches; 0 = no end

	Reply   string        // lines joined by "\n", sent as they are; empty = the polite reply, to BODY none
	Delay   time.Duration // before the reply
	Trickle time.Duration // pause after each byte of the reply
	Stall   bool          // never replies; the connection stays open
	Drop    bool          // closes the connection instead of replying
	Hangup  bool          // closes the connection after the reply
	After   int           // BODY: bytes of the message that are read before it acts
}

// MXRecipient is one accepted RCPT.
type MXRecipient struct {
	Address string
	Params  []string
}

// MXMessage is one message whose final dot arrived.
type MXMessage struct {
	Conn       int // number of the connection, from 1
	Peer       netip.AddrPort
	TLS        bool
	Helo       string
	Begun      time.Time // when its MAIL came
	Login      string    // AUTH identity, or empty
	From       string    // without angle brackets
	Params     []string
	Recipients []MXRecipient
	Data       []byte   // as sent, dot-unstuffed
	Chunked    bool     // it came by BDAT
	Replies    []string // to the final dot; more than one with LMTP
}

// Accepted says whether the message, with LMTP any recipient of it, got a 2xx.
func (m MXMessage) Accepted() bool {
	return slices.ContainsFunc(m.Replies, func(r string) bool { return strings.HasPrefix(r, "2") })
}

// MXCommand is one line that a client sent outside of data.
type MXCommand struct {
	Conn int
	TLS  bool
	Line string
}

// MX is a mail exchanger on a real socket that records what it gets.
type MX struct {
	// Addr is its "ip:port".
	Addr string

	t    testing.TB
	opts MXOptions
	done chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	rules    []*mxRule
	conns    map[net.Conn]net.Conn // what is spoken over each: itself, or TLS
	accepted int
	messages []MXMessage
	commands []MXCommand
	changed  chan struct{} // closed and replaced at each change
}

type mxRule struct {
	MXRule
	seen int
}

// StartMX starts a fake MX that ends with the test.
func StartMX(t testing.TB, opts MXOptions, rules ...MXRule) *MX {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.Hostname == "" {
		opts.Hostname = "mx.example.test"
	}
	if opts.Keywords == nil {
		opts.Keywords = []string{"PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"}
	}
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", opts.Addr)
	if err != nil {
		t.Fatalf("fake MX: %v", err)
	}
	m := &MX{
		Addr: listener.Addr().String(), t: t, opts: opts, done: make(chan struct{}),
		conns: map[net.Conn]net.Conn{}, changed: make(chan struct{}),
	}
	m.SetRules(rules...)
	m.wg.Go(func() { m.accept(listener) })
	t.Cleanup(func() {
		close(m.done)
		_ = listener.Close() // accept tells of a listener that broke earlier
		m.mu.Lock()
		for conn := range m.conns {
			_ = conn.Close() // its session ends by it
		}
		m.mu.Unlock()
		m.wg.Wait()
	})
	return m
}

// SetRules replaces all rules while the server runs; counts begin anew.
func (m *MX) SetRules(rules ...MXRule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = nil
	for _, rule := range rules {
		m.rules = append(m.rules, &mxRule{MXRule: rule})
	}
}

// Say sends lines, joined by "\n", to all who are connected, unasked.
func (m *MX) Say(lines string) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		if _, err := conn.Write([]byte(strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n")); err != nil {
			m.t.Errorf("fake MX: %v", err)
		}
	}
}

// Messages are the accepted messages so far.
func (m *MX) Messages() []MXMessage { return m.filter(true) }

// Refused are the messages whose final dot got no 2xx.
func (m *MX) Refused() []MXMessage { return m.filter(false) }

func (m *MX) filter(accepted bool) []MXMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.messages), func(msg MXMessage) bool { return msg.Accepted() != accepted })
}

// Commands are all command lines so far, over all connections.
func (m *MX) Commands() []MXCommand {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commands)
}

// Connections is how many connections were accepted so far.
func (m *MX) Connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.accepted
}

// WaitMessages waits until n messages were accepted, fails the test if that
// takes longer than limit, and returns all of them.
func (m *MX) WaitMessages(n int, limit time.Duration) []MXMessage {
	m.t.Helper()
	return m.wait(n, limit, "accepted messages", m.Messages)
}

// WaitRefused is WaitMessages for messages whose final dot got no 2xx.
func (m *MX) WaitRefused(n int, limit time.Duration) []MXMessage {
	m.t.Helper()
	return m.wait(n, limit, "refused messages", m.Refused)
}

func (m *MX) wait(n int, limit time.Duration, what string, get func() []MXMessage) []MXMessage {
	m.t.Helper()
	m.WaitFor(limit, what, func() bool { return len(get()) >= n })
	return get()
}

// WaitFor looks at done after every command, connection and message until it
// is true, and fails the test when limit has passed. what is for that failure.
func (m *MX) WaitFor(limit time.Duration, what string, done func() bool) {
	m.t.Helper()
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-end.C:
			m.t.Fatalf("fake MX %s: waited %v for %s; %d accepted, %d refused, %d connections",
				m.Addr, limit, what, len(m.Messages()), len(m.Refused()), m.Connections())
		}
	}
}

// update changes the records and wakes those who wait.
func (m *MX) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *MX) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			select {
			case <-m.done:
			default:
				m.t.Errorf("fake MX: %v", err)
			}
			return
		}
		number := 0
		m.update(func() {
			m.accepted++
			number = m.accepted
			m.conns[conn] = conn
		})
		select {
		case <-m.done:
			_ = conn.Close() // came while the test ended, nobody else closes it
			return
		default:
		}
		m.wg.Go(func() {
			newMXSession(m, conn, number).run()
			_ = conn.Close() // the client may have closed it already
			m.update(func() { delete(m.conns, conn) })
		})
	}
}

// rule finds what replaces the polite reply, and counts.
func (m *MX) rule(command, argument string) MXRule {
	m.mu.Lock()
	defer m.mu.Unlock()
	var chosen *mxRule
	for _, r := range m.rules {
		if r.Command != command || !strings.Contains(strings.ToLower(argument), strings.ToLower(r.Contains)) {
			continue
		}
		r.seen++
		if chosen == nil && (r.Nth == 0 || r.seen == r.Nth) && (r.Times == 0 || r.seen <= r.Times) {
			chosen = r
		}
	}
	if chosen == nil {
		return MXRule{}
	}
	return chosen.MXRule
}
