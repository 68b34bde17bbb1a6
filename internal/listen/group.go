// Package listen opens the sockets of every service and hands each connection
// on.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/ratelimit"
)

// Service is one protocol on its addresses.
type Service struct {
	Name  string   // as in the settings: "smtp", "imaps" ...
	Addrs []string // "addr:port", or "unix:" and a path
	// TLS is set where TLS begins with the first octet: the handler then gets
	// a *tls.Conn that has not yet shaken hands.
	TLS *tls.Config
	// Busy is the protocol's own line, without CRLF, for a peer that is over a
	// limit; empty = none. It is not said where TLS would come first.
	Busy string
	// Handle runs a session. When ctx ends the server stops: the session is to
	// finish the command it runs, say goodbye and return. The connection is
	// closed when it returns. RemoteAddr of c is the client, also behind a
	// proxy: a *net.TCPAddr that never is an IPv4 address in IPv6 form, or a
	// *net.UnixAddr.
	Handle func(ctx context.Context, c net.Conn)
}

// Options are what a Group is made of.
type Options struct {
	// Limits counts connections; nil = no limit. Behind a proxy the client
	// counts, not the proxy.
	Limits *ratelimit.Connections
	// Trusted tells who is not limited by the network that it is in, nor in how
	// fast it comes; asked for each connection. nil = nobody.
	Trusted func(netip.Addr) bool
	// Proxies are the hosts whose connections must begin with a PROXY header;
	// asked for each connection. nil = none.
	Proxies func() []netip.Prefix
	// ProxyTimeout is how long a PROXY header may take; 0 = ten seconds.
	ProxyTimeout time.Duration
	Metrics      *Metrics // nil = nobody counts
	Logger       *slog.Logger
}

// defaultProxyTimeout is far more than a proxy needs, which sends its header
// before anything else.
const defaultProxyTimeout = 10 * time.Second

// ErrStopped says that a Group was stopped and takes no more services.
var ErrStopped = errors.New("the listeners are stopped")

// Group runs services. Its methods may be called from many goroutines.
type Group struct {
	o       Options
	log     *slog.Logger
	refused refusals
	locals  locals

	ctx    context.Context // of all sessions
	cancel context.CancelFunc
	busy   sync.WaitGroup // accept loops and sessions

	changing sync.Mutex // one Start, Reload or Stop at a time

	mu      sync.Mutex
	stopped bool
	sockets []*socket
	conns   map[net.Conn]struct{} // as accepted, below PROXY and TLS
}

// socket is one open address. A reload may give it another service.
type socket struct {
	key     string // as the settings have it
	network string // "tcp" (both families where all addresses are meant), "tcp4", "tcp6", "unix"
	ln      net.Listener
	service atomic.Pointer[Service]
	closed  chan struct{} // no more connections are wanted
}

func (s *socket) close() error {
	close(s.closed)
	return s.ln.Close()
}

// New returns a group without services.
func New(o Options) *Group {
	if o.Limits == nil {
		o.Limits = ratelimit.NewConnections(ratelimit.Limits{})
	}
	if o.Trusted == nil {
		o.Trusted = func(netip.Addr) bool { return false }
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(prometheus.NewRegistry())
	}
	if o.Proxies == nil {
		o.Proxies = func() []netip.Prefix { return nil }
	}
	if o.ProxyTimeout == 0 {
		o.ProxyTimeout = defaultProxyTimeout
	}
	g := &Group{o: o, log: o.Logger, conns: map[net.Conn]struct{}{}}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Start opens the sockets of all services and then accepts on all of them. An
// error names the service and the address; then nothing is open.
func (g *Group) Start(ctx context.Context, services []Service) error { return g.Reload(ctx, services) }

// Reload goes on with other services. Sockets whose address stays are kept and
// lose no connection; running sessions live on in any case. With an error
// everything is as it was before.
func (g *Group) Reload(ctx context.Context, services []Service) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.mu.Lock()
	stopped, open := g.stopped, slices.Clone(g.sockets)
	g.mu.Unlock()
	if stopped {
		return ErrStopped
	}
	p := plan(open, services)
	if err := g.carryOut(ctx, p); err != nil {
		return err
	}
	g.mu.Lock()
	g.sockets = p.sockets()
	g.mu.Unlock()
	for _, w := range p.wanted {
		w.socket.service.Store(w.service)
		if w.fresh {
			g.busy.Go(func() { g.accept(w.socket) })
		}
	}
	for _, s := range p.unwanted {
		g.release(s)
	}
	return nil
}

// release closes a socket for good.
func (g *Group) release(s *socket) {
	if err := s.close(); err != nil {
		g.log.Warn("a socket did not close cleanly", "address", s.key, "error", err)
	}
}

// Stop closes all sockets, tells the sessions to end, and when ctx ends closes
// the connections of those that have not. It returns when all have ended.
func (g *Group) Stop(ctx context.Context) {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.mu.Lock()
	g.stopped = true
	sockets := g.sockets
	g.sockets = nil
	g.mu.Unlock()
	for _, s := range sockets {
		g.release(s)
	}
	g.cancel()
	ended := make(chan struct{})
	go func() {
		g.busy.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	g.mu.Lock()
	left := len(g.conns)
	for c := range g.conns {
		_ = c.Close() // its session ends by it, whatever it says
	}
	g.mu.Unlock()
	if left > 0 {
		g.log.Warn("sessions were cut off: the grace time is over", "sessions", left)
	}
	<-ended
}

// enter counts a connection as open; false once the group stops.
func (g *Group) enter(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.conns[c] = struct{}{}
	return true
}

func (g *Group) leave(c net.Conn) {
	g.mu.Lock()
	delete(g.conns, c)
	g.mu.Unlock()
	_ = c.Close() // the session has closed it, or left it to us
}
