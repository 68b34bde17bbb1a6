package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/ratelimit"
	kernel "github.com/hayauma/hayauma/internal/socket"
)

const (
	// The waits after an accept that failed, as it does when files run out.
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second

	busyTimeout = time.Second // a fresh socket has room for a line
	refusalsLog = 10 * time.Second
)

// accept is the loop of one socket.
func (g *Group) accept(s *socket) {
	var backoff time.Duration
	for {
		c, err := s.ln.Accept()
		if err == nil {
			backoff = 0
			g.begin(s.service.Load(), c)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if backoff = min(max(2*backoff, minBackoff), maxBackoff); backoff == minBackoff {
			g.log.Error("connections cannot be accepted", "address", s.key, "error", err)
		}
		select {
		case <-time.After(backoff):
		case <-s.closed:
			return
		}
	}
}

// begin starts a session on a connection just accepted.
func (g *Group) begin(s *Service, raw net.Conn) {
	if !g.enter(raw) {
		_ = raw.Close() // the server is going down
		return
	}
	c := &arrival{g: g, service: s, raw: raw, conn: unmap(raw)}
	peer := address(c.conn.RemoteAddr())
	c.proxied = g.isProxy(peer)
	if c.proxied {
		// Counted in all while we wait for the header; the client counts then.
		peer = netip.Addr{}
	}
	if limit := c.admit(peer); limit != "" {
		c.refuse(limit)
		return
	}
	g.busy.Go(c.run)
}

func (g *Group) isProxy(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(g.o.Proxies(), func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
}

// arrival is one connection from its accept to the end of its session.
type arrival struct {
	g       *Group
	service *Service
	raw     net.Conn // as accepted
	conn    net.Conn // as the session sees it
	proxied bool
	place   ratelimit.Place // among the connections
}

// admit takes a place among the connections, or names the limit that is reached.
func (a *arrival) admit(peer netip.Addr) (limit ratelimit.Refusal) {
	a.place, limit = a.g.o.Limits.Acquire(peer, a.g.o.Trusted(peer))
	return limit
}

// refuse tells a peer that it is one too many.
func (a *arrival) refuse(limit ratelimit.Refusal) {
	a.g.o.Metrics.refuse(a.service.Name, limit)
	a.g.refused.count(a, limit)
	if a.service.Busy != "" && a.service.TLS == nil {
		if a.raw.SetWriteDeadline(time.Now().Add(busyTimeout)) == nil {
			_, _ = io.WriteString(a.raw, a.service.Busy+"\r\n") // a courtesy
		}
	}
	a.g.leave(a.raw)
}

// run is the goroutine of a session. A panic ends this session alone.
func (a *arrival) run() {
	defer a.place.Release()
	defer a.g.leave(a.raw)
	defer func() {
		if p := recover(); p != nil {
			a.g.log.Error("a session panicked; its connection is closed", "service", a.service.Name,
				"peer", a.conn.RemoteAddr().String(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if a.proxied && !a.unwrap() {
		return
	}
	if a.service.TLS != nil {
		a.conn = tls.Server(&kernel.Records{Conn: a.conn}, a.service.TLS)
	}
	a.service.Handle(a.g.ctx, a.conn)
}

// unwrap reads the PROXY header and takes the client's place among the
// connections; false = the session is over.
func (a *arrival) unwrap() bool {
	stop := context.AfterFunc(a.g.ctx, func() { _ = a.raw.Close() })
	defer stop()
	c, err := readProxy(a.conn, a.g.o.ProxyTimeout)
	switch {
	case errors.Is(err, io.EOF):
		return false // a health check
	case err != nil:
		a.g.log.Warn("a connection from a proxy has no valid PROXY header", "service", a.service.Name,
			"proxy", a.conn.RemoteAddr().String(), "error", err)
		return false
	}
	a.conn = c
	a.place.Release()
	if limit := a.admit(address(c.RemoteAddr())); limit != "" {
		a.refuse(limit)
		return false
	}
	return true
}

// refusals logs a flood in few lines.
type refusals struct {
	mu     sync.Mutex
	number int
	logged time.Time
}

func (r *refusals) count(a *arrival, limit ratelimit.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number++
	if !r.logged.IsZero() && time.Since(r.logged) < refusalsLog {
		return
	}
	a.g.log.Warn("too many connections: refused", "service", a.service.Name,
		"peer", a.conn.RemoteAddr().String(), "limit", string(limit), "refused", r.number)
	r.number, r.logged = 0, time.Now()
}
