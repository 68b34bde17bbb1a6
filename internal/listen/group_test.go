package listen

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/ratelimit"
	kernel "github.com/hayauma/hayauma/internal/socket"
	"github.com/hayauma/hayauma/internal/testkit"
)

// loopback is a proxy network that tests come from.
func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// echo says who it speaks with, and each line again, until ctx ends.
func echo(ctx context.Context, c net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, _ = io.WriteString(c, "hello "+c.RemoteAddr().String()+"\r\n")
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			_, _ = io.WriteString(c, "bye\r\n")
			return
		}
		_, _ = io.WriteString(c, line)
	}
}

// log collects what a group logs.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) has(s string) bool { return l.count(s) > 0 }

func (l *log) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func newGroup(t *testing.T, o Options) (*Group, *log) {
	t.Helper()
	out := &log{}
	o.Logger = slog.New(slog.NewTextHandler(out, nil))
	g := New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		g.Stop(ctx)
	})
	return g, out
}

// start runs a service on free ports of the loopback address.
func start(t *testing.T, g *Group, s ...Service) {
	t.Helper()
	if err := g.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func service(name string, addrs ...string) Service {
	return Service{Name: name, Addrs: addrs, Handle: echo, Busy: "421 busy"}
}

// client is one connection to a group.
type client struct {
	net.Conn
	in *bufio.Reader
	t  *testing.T
}

func dial(t *testing.T, a net.Addr) *client {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{Conn: c, in: bufio.NewReader(c), t: t}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) want(text string) {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, text) {
		c.t.Fatalf("got %q, %v; want %q", line, err, text)
	}
}

func (c *client) wantEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

func first(g *Group) net.Addr { return g.Addrs()[0].Addr }

func TestSessionsAreServed(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	start(t, g, service("smtp", "127.0.0.1:0"), service("imap", ":0"))
	for _, b := range g.Addrs() {
		c := dial(t, b.Addr)
		c.want("hello ")
		c.send("again\r\n")
		c.want("again\r\n")
	}
	if got := g.Addrs(); len(got) != 2 || got[0].Service != "smtp" || got[1].Service != "imap" {
		t.Errorf("addresses: %v", got)
	}
}

func TestIPv4ClientOfADualSocketIsIPv4(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	peers := make(chan netip.AddrPort, 1)
	s := Service{Name: "smtp", Addrs: []string{":0"}, Handle: func(_ context.Context, c net.Conn) {
		if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			peers <- tcp.AddrPort()
		}
	}}
	start(t, g, s)
	port := netip.MustParseAddrPort(first(g).String()).Port()
	dial(t, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))).wantEnd()
	if p := <-peers; !p.Addr().Is4() {
		t.Errorf("the handler saw %v", p)
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	g, _ := newGroup(t, Options{Proxies: loopback})
	s := service("imaps", "127.0.0.1:0")
	s.TLS = ca.ServerConfig(t, "mx.example.test")
	start(t, g, s)
	c := dial(t, first(g))
	c.send("PROXY TCP4 192.0.2.9 192.0.2.10 1234 993\r\n")
	secured := tls.Client(c.Conn, ca.ClientConfig("mx.example.test"))
	c.Conn, c.in = secured, bufio.NewReader(secured)
	c.want("hello 192.0.2.9:1234\r\n")
}

func TestProxiedClients(t *testing.T) {
	t.Parallel()
	a4, b4, a6, b6 := endpoints()
	for _, c := range []struct{ name, header, peer string }{
		{"version 1", printV1(a4, b4), "192.0.2.1:40000"},
		{"version 2 over IPv6", printV2(a6, b6, ""), "[2001:db8::1]:40000"},
		{"long additions", printV2(a4, b4, addition(1, strings.Repeat("x", 3000))), "192.0.2.1:40000"},
		{"health check", v2(commandLocal, 0, ""), "127.0.0.1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g, _ := newGroup(t, Options{Proxies: loopback})
			start(t, g, service("smtp", "127.0.0.1:0"))
			// In one piece with what follows, and octet by octet.
			whole := dial(t, first(g))
			whole.send(c.header + "early\r\n")
			whole.want("hello " + c.peer)
			whole.want("early\r\n")
			slow := dial(t, first(g))
			for i := range c.header {
				slow.send(c.header[i : i+1])
				if i > 300 {
					slow.send(c.header[i+1:])
					break
				}
			}
			slow.want("hello " + c.peer)
		})
	}
}

// TestPendingBehindAProxy: what came with the header waits as well as what came behind it.
// What the client's host has taken is not known: the socket is the proxy's.
func TestPendingBehindAProxy(t *testing.T) {
	t.Parallel()
	a4, b4, _, _ := endpoints()
	for _, more := range []string{"", "abc", strings.Repeat("x", 1000)} {
		g, _ := newGroup(t, Options{Proxies: loopback})
		pending, unsent := make(chan int, 1), make(chan int, 1)
		s := service("smtp", "127.0.0.1:0")
		s.Handle = func(_ context.Context, c net.Conn) {
			pending <- kernel.Pending(c)
			unsent <- kernel.Unsent(c)
		}
		start(t, g, s)
		dial(t, first(g)).send(printV1(a4, b4) + more)
		if n, left := <-pending, <-unsent; n != len(more) || left != -1 {
			t.Errorf("%d of %d octets wait, %d unsent", n, len(more), left)
		}
	}
}

func TestProxyHeaderIsRequired(t *testing.T) {
	t.Parallel()
	g, out := newGroup(t, Options{Proxies: loopback, ProxyTimeout: 50 * time.Millisecond})
	start(t, g, service("smtp", "127.0.0.1:0"))
	c := dial(t, first(g))
	c.send("EHLO me\r\n")
	c.wantEnd()
	dial(t, first(g)).wantEnd() // says nothing at all
	testkit.Eventually(t, 5*time.Second, "two log lines", func() bool {
		return out.has(errProxy.Error()) && out.has("timeout")
	})
}

// TestSlowProxyHeader: one that drips in is waited for no longer than one that does
// not come, and the place among the connections is free again.
func TestSlowProxyHeader(t *testing.T) {
	t.Parallel()
	const limit = 500 * time.Millisecond
	limits := ratelimit.NewConnections(ratelimit.Limits{Total: 10, PerAddress: 10})
	g, out := newGroup(t, Options{Proxies: loopback, ProxyTimeout: limit, Limits: limits})
	start(t, g, service("smtp", "127.0.0.1:0"))
	c := dial(t, first(g))
	begun := time.Now()
	a4, b4, _, _ := endpoints()
	for _, octet := range []byte(printV1(a4, b4)) {
		if _, err := c.Write([]byte{octet}); err != nil {
			break // it is gone
		}
		pause := time.NewTimer(limit / 10)
		<-pause.C
	}
	if took := time.Since(begun); took > 4*limit {
		t.Errorf("it was waited for %v", took)
	}
	testkit.Eventually(t, 5*time.Second, "a log line and a free place", func() bool {
		return out.has("timeout") && limits.Held() == 0
	})
}

func TestStrangersSendNoProxyHeader(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{Proxies: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }})
	start(t, g, service("smtp", "127.0.0.1:0"))
	c := dial(t, first(g))
	a4, b4, _, _ := endpoints()
	c.send(printV1(a4, b4))
	c.want("hello 127.0.0.1:")
	c.want("PROXY TCP4")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{Limits: ratelimit.NewConnections(ratelimit.Limits{Total: 3, PerAddress: 2}), Proxies: func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	}})
	start(t, g, service("smtp", "127.0.0.1:0"))
	from := func(client string) *client {
		c := dial(t, first(g))
		c.send("PROXY TCP4 " + client + " 192.0.2.254 1 25\r\n")
		return c
	}
	one := from("192.0.2.1")
	one.want("hello 192.0.2.1")
	from("192.0.2.1").want("hello 192.0.2.1")
	third := from("192.0.2.1")
	third.want("421 busy\r\n")
	third.wantEnd()
	other := from("192.0.2.2")
	other.want("hello 192.0.2.2")
	from("192.0.2.3").want("421 busy\r\n") // in all
	_ = one.Close()
	testkit.Eventually(t, 5*time.Second, "a free place", func() bool { return g.o.Limits.Held() == 2 })
	from("192.0.2.1").want("hello 192.0.2.1")
}

func TestNothingIsSaidBeforeTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	g, _ := newGroup(t, Options{Limits: ratelimit.NewConnections(ratelimit.Limits{Total: 1})})
	s := service("imaps", "127.0.0.1:0")
	s.TLS = ca.ServerConfig(t, "mx.example.test")
	start(t, g, s)
	held := dial(t, first(g))
	testkit.Eventually(t, 5*time.Second, "the first connection", func() bool { return g.o.Limits.Held() == 1 })
	dial(t, first(g)).wantEnd()
	_ = held.Close()
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	start(t, g, service("smtp", "127.0.0.1:0"))
	taken := first(g).String()
	other, _ := newGroup(t, Options{})
	err := other.Start(t.Context(), []Service{service("imap", "127.0.0.1:0"), service("pop3", taken)})
	if bind, ok := errors.AsType[*BindError](err); !ok || bind.Service != "pop3" || bind.Address != taken {
		t.Fatalf("error %v", err)
	}
	if want := "pop3 cannot listen on " + taken + ": the address is taken already"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%q, want %q", err, want)
	}
	if open := other.Addrs(); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	ports := testkit.FreePorts(t, 3)
	a, b, c := ports[0], ports[1], ports[2]
	start(t, g, service("smtp", a, b))
	onA, onB := dial(t, g.Addrs()[0].Addr), dial(t, g.Addrs()[1].Addr)
	onA.want("hello")
	onB.want("hello")

	renamed := service("submission", a, c)
	renamed.Handle = func(_ context.Context, c net.Conn) { _, _ = io.WriteString(c, "new\r\n") }
	if err := g.Reload(t.Context(), []Service{renamed}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*client{onA, onB} {
		s.send("still here\r\n")
		s.want("still here\r\n")
	}
	for _, bound := range g.Addrs() {
		dial(t, bound.Addr).want("new\r\n")
	}
	var d net.Dialer
	if c, err := d.DialContext(t.Context(), "tcp", b); err == nil {
		_ = c.Close()
		t.Error("the old socket is still open")
	}
}

func TestReloadThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	ports := testkit.FreePorts(t, 2)
	start(t, g, service("smtp", ports[0]), service("imap", "127.0.0.1:0"))
	other, _ := newGroup(t, Options{})
	start(t, other, service("smtp", "127.0.0.1:0"))
	// The wildcard takes the place of the socket that has its port, and then
	// has to give it back.
	_, port, _ := net.SplitHostPort(ports[0])
	err := g.Reload(t.Context(), []Service{service("smtp", ":"+port), service("pop3", first(other).String())})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("error %v", err)
	}
	if len(g.Addrs()) != 2 || first(g).String() != ports[0] {
		t.Errorf("open: %v", g.Addrs())
	}
	for _, b := range g.Addrs() {
		dial(t, b.Addr).want("hello")
	}
}

func TestReloadFromOneAddressToAll(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	ports := testkit.FreePorts(t, 1)
	start(t, g, service("smtp", ports[0]))
	before := dial(t, first(g))
	before.want("hello")
	_, port, _ := net.SplitHostPort(ports[0])
	if err := g.Reload(t.Context(), []Service{service("smtp", ":"+port)}); err != nil {
		t.Fatal(err)
	}
	before.send("on\r\n")
	before.want("on\r\n")
	if len(g.Addrs()) != 1 || !strings.HasPrefix(first(g).String(), "[::]") {
		t.Errorf("open: %v", g.Addrs())
	}
	loop, err := net.ResolveTCPAddr("tcp", ports[0])
	if err != nil {
		t.Fatal(err)
	}
	dial(t, loop).want("hello")
}

func TestStopLetsSessionsFinish(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	start(t, g, service("smtp", "127.0.0.1:0"))
	c := dial(t, first(g))
	c.want("hello")
	g.Stop(t.Context())
	c.want("bye\r\n")
	c.wantEnd()
	if err := g.Reload(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Errorf("reload after stop: %v", err)
	}
}

func TestStopCutsOffAfterTheGrace(t *testing.T) {
	t.Parallel()
	g, out := newGroup(t, Options{})
	s := service("smtp", "127.0.0.1:0")
	s.Handle = func(_ context.Context, c net.Conn) { // does not listen to ctx
		_, _ = io.WriteString(c, "hello\r\n")
		_, _ = c.Read(make([]byte, 1))
	}
	start(t, g, s)
	c := dial(t, first(g))
	c.want("hello")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Stop(ctx)
	c.wantEnd()
	if !out.has("sessions were cut off") {
		t.Error("nothing in the log")
	}
}

func TestStopEndsAWaitForAProxyHeader(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{Proxies: loopback, ProxyTimeout: time.Hour})
	start(t, g, service("smtp", "127.0.0.1:0"))
	c := dial(t, first(g))
	testkit.Eventually(t, 5*time.Second, "the connection", func() bool { return g.o.Limits.Held() == 1 })
	g.Stop(t.Context())
	c.wantEnd()
}

func TestPanicEndsOneSession(t *testing.T) {
	t.Parallel()
	g, out := newGroup(t, Options{})
	s := service("smtp", "127.0.0.1:0")
	s.Handle = func(ctx context.Context, c net.Conn) {
		var broken []int
		one := make([]byte, 1)
		if _, err := c.Read(one); err == nil && one[0] == 'x' {
			broken[0] = 1
		}
		echo(ctx, c)
	}
	start(t, g, s)
	bad := dial(t, first(g))
	bad.send("x")
	bad.wantEnd()
	good := dial(t, first(g))
	good.send("y")
	good.want("hello")
	if !out.has("panicked") || !out.has("group_test.go") {
		t.Error("no stack in the log")
	}
	_ = good.Close()
	testkit.Eventually(t, 5*time.Second, "all places to be free", func() bool { return g.o.Limits.Held() == 0 })
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lmtp")
	// A socket file that nobody listens on, as a killed process leaves it.
	var lc net.ListenConfig
	stale, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := stale.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	g, _ := newGroup(t, Options{Limits: ratelimit.NewConnections(ratelimit.Limits{PerAddress: 1})})
	start(t, g, service("lmtp", "unix:"+path))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	dial(t, first(g)).want("hello")
	dial(t, first(g)).want("hello") // no limit per address

	other, _ := newGroup(t, Options{})
	if err := other.Start(t.Context(), []Service{service("lmtp", "unix:"+path)}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second listener: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Stop(ctx)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket file is still there: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context(), []Service{service("lmtp", "unix:"+path)}); err == nil {
		t.Error("a file was taken for a stale socket")
	}
}

func TestIsOurs(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	var free []string // the port alone; the kernel could pick one for both families
	for _, a := range testkit.FreePorts(t, 4) {
		_, p, _ := net.SplitHostPort(a)
		free = append(free, ":"+p)
	}
	start(t, g, service("smtp", "127.0.0.1"+free[0]), service("imap", free[1]), service("pop3", "0.0.0.0"+free[2], "[::]"+free[3]))
	port := func(i int) uint16 { return netip.MustParseAddrPort(g.Addrs()[i].Addr.String()).Port() }
	for _, c := range []struct {
		addr string
		port uint16
		want bool
	}{
		{"127.0.0.1", port(0), true},
		{"::ffff:127.0.0.1", port(0), true},
		{"127.0.0.2", port(0), false},
		{"127.0.0.1", port(1), true},
		{"127.0.0.2", port(1), true},
		{"::1", port(1), true},
		{"192.0.2.1", port(1), false},
		{"127.0.0.1", port(2), true},
		{"::1", port(2), false},
		{"::1", port(3), true},
		{"127.0.0.1", port(3), false},
		{"127.0.0.1", 1, false},
		{"0.0.0.0", port(0), true},
		{"::", port(0), false},
		{"0.0.0.0", port(1), true},
		{"::", port(1), true},
		{"::", port(2), false},
		{"0.0.0.0", port(3), false},
	} {
		if got := g.IsOurs(netip.AddrPortFrom(netip.MustParseAddr(c.addr), c.port)); got != c.want {
			t.Errorf("%s port %d: %v", c.addr, c.port, got)
		}
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip("this machine does not tell its addresses: ", err)
	}
	for _, a := range list {
		p := netip.MustParsePrefix(a.String())
		if !g.IsOurs(netip.AddrPortFrom(p.Addr(), port(1))) {
			t.Errorf("%v of this machine is not ours", p.Addr())
		}
	}
}

// exhausted is a listener of a process that has run out of files.
type exhausted struct {
	net.Listener
	mu   sync.Mutex
	left int // failures to come
	seen int
}

func (l *exhausted) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.seen++
	l.left--
	failing := l.left >= 0
	l.mu.Unlock()
	if failing {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsBackOff(t *testing.T) {
	t.Parallel()
	g, out := newGroup(t, Options{})
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{key: "fake", network: "tcp", ln: &exhausted{Listener: ln, left: 3}, closed: make(chan struct{})}
	srv := service("smtp")
	s.service.Store(&srv)
	g.sockets = []*socket{s}
	began := time.Now()
	g.busy.Go(func() { g.accept(s) })
	dial(t, ln.Addr()).want("hello")
	if took := time.Since(began); took < 7*minBackoff {
		t.Errorf("three failures in %v", took)
	}
	if !out.has("connections cannot be accepted") {
		t.Error("nothing in the log")
	}
}

func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{})
	s := service("smtp", "127.0.0.1:0")
	s.Handle = func(_ context.Context, c net.Conn) { _ = c.Close() }
	start(t, g, s)
	for range 20 {
		dial(t, first(g)).wantEnd()
	}
	testkit.Eventually(t, 5*time.Second, "all places to be free", func() bool { return g.o.Limits.Held() == 0 })
}
