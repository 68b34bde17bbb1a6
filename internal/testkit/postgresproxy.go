package testkit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Cut is what a PostgresProxy does to a connection when a COMMIT comes by.
type Cut int

// The moments of a cut.
const (
	CutNone   Cut = iota
	CutBefore     // the server never sees the COMMIT
	CutDuring     // the server gets it, the client's connection ends at once
	CutAfter      // the server has answered; the client never hears of it
)

// PostgresProxy stands between a client and a PostgreSQL server and reads what
// the client says, so that it can cut the connection around a COMMIT.
type PostgresProxy struct {
	Addr string

	listener net.Listener
	target   atomic.Value // string
	onCommit func() Cut
	refuse   atomic.Bool
	mute     atomic.Bool // drops notifications on their way to the client

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// NewPostgresProxy listens on a port of its own. onCommit decides for each
// COMMIT; nil cuts none.
func NewPostgresProxy(t testing.TB, target string, onCommit func() Cut) *PostgresProxy {
	t.Helper()
	addr := FreePort(t)
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if onCommit == nil {
		onCommit = func() Cut { return CutNone }
	}
	p := &PostgresProxy{Addr: addr, listener: l, onCommit: onCommit, conns: map[net.Conn]bool{}}
	p.target.Store(target)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close() // accept ends by it
		p.CutAll()
		p.wg.Wait()
	})
	return p
}

// RefuseNew has new connections closed at once, until it is called with false.
func (p *PostgresProxy) RefuseNew(on bool) { p.refuse.Store(on) }

// Refuse has new connections closed at once and the others cut, until it is
// called with false.
func (p *PostgresProxy) Refuse(on bool) {
	p.refuse.Store(on)
	if on {
		p.CutAll()
	}
}

// Mute drops the notifications of LISTEN and NOTIFY.
func (p *PostgresProxy) Mute(on bool) { p.mute.Store(on) }

// CutAll ends all connections.
func (p *PostgresProxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // it may have ended by itself
	}
}

func (p *PostgresProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *PostgresProxy) serve(client net.Conn) {
	defer p.track(client)()
	if p.refuse.Load() {
		return
	}
	var dialer net.Dialer
	target, _ := p.target.Load().(string)
	server, err := dialer.DialContext(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	defer p.track(server)()
	w := &watched{p: p, client: client, server: server, commits: map[string]bool{}}
	p.wg.Go(func() {
		w.fromServer()
		_ = errors.Join(client.Close(), server.Close()) // so that the other direction ends too
	})
	w.fromClient()
}

func (p *PostgresProxy) track(c net.Conn) (done func()) {
	p.mu.Lock()
	p.conns[c] = true
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
		_ = c.Close() // it may have ended already
	}
}

// watched is one connection.
type watched struct {
	p              *PostgresProxy
	client, server net.Conn
	commits        map[string]bool // names of prepared statements that are a COMMIT
	silent         atomic.Bool     // nothing more reaches the client
}

// The largest messages that are passed on.
const (
	maxStartup = 10 << 10
	maxMessage = 64 << 20
)

var errMessage = errors.New("not a message of the protocol")

// Message types of the protocol, PostgreSQL 15 §55.7.
const (
	messageQuery  = 'Q'
	messageParse  = 'P'
	messageBind   = 'B'
	messageReady  = 'Z'
	messageNotify = 'A'
)

func (w *watched) fromClient() {
	// The first message has no type.
	first := make([]byte, 4)
	if _, err := io.ReadFull(w.client, first); err != nil {
		return
	}
	size := binary.BigEndian.Uint32(first)
	if size < 8 || size > maxStartup {
		return // a stranger, who speaks something else
	}
	rest := make([]byte, size-4)
	if _, err := io.ReadFull(w.client, rest); err != nil {
		return
	}
	if _, err := w.server.Write(append(first, rest...)); err != nil {
		return
	}
	for {
		kind, body, err := readMessage(w.client)
		if err != nil {
			return
		}
		if w.isCommit(kind, body) && !w.let() {
			return
		}
		if err := writeMessage(w.server, kind, body); err != nil {
			return
		}
	}
}

// let asks what to do about a COMMIT; false ends the connection.
func (w *watched) let() bool {
	switch w.p.onCommit() {
	case CutBefore:
		return false
	case CutDuring:
		w.silent.Store(true)
		if c, ok := w.client.(*net.TCPConn); ok {
			_ = c.CloseWrite() // the client sees the end at once; what it still sends arrives
		}
	case CutAfter:
		w.silent.Store(true)
	case CutNone:
	}
	return true
}

func (w *watched) isCommit(kind byte, body []byte) bool {
	switch kind {
	case messageQuery:
		return isCommit(body)
	case messageParse:
		name, rest, _ := bytes.Cut(body, []byte{0})
		if isCommit(rest) {
			w.commits[string(name)] = true
		}
	case messageBind:
		_, rest, _ := bytes.Cut(body, []byte{0})
		name, _, _ := bytes.Cut(rest, []byte{0})
		return w.commits[string(name)]
	}
	return false
}

func isCommit(text []byte) bool {
	text, _, _ = bytes.Cut(text, []byte{0})
	return bytes.EqualFold(bytes.TrimSpace(text), []byte("commit"))
}

func (w *watched) fromServer() {
	for {
		kind, body, err := readMessage(w.server)
		if err != nil {
			return
		}
		switch {
		case kind == messageReady && w.silent.Load():
			return // the COMMIT is answered: now the connection may end
		case w.silent.Load(), kind == messageNotify && w.p.mute.Load():
			continue
		}
		if err := writeMessage(w.client, kind, body); err != nil {
			return
		}
	}
}

func readMessage(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > maxMessage {
		return 0, nil, errMessage
	}
	body = make([]byte, size-4)
	_, err = io.ReadFull(r, body)
	return head[0], body, err
}

func writeMessage(w io.Writer, kind byte, body []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	_, err := w.Write(append(head, body...))
	return err
}
