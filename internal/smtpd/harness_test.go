package smtpd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/internal/socket"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// rig is a server over a real stack, with its users.
type rig struct {
	*stack.Stack
	t      testing.TB
	ca     *testkit.CA
	secure *tls.Config
	stop   context.CancelFunc // as SIGTERM would
	ctx    context.Context
	served sync.WaitGroup

	pressed  atomic.Bool  // messages wait for memory
	reverse  atomic.Value // func(context.Context, netip.Addr) (string, error)
	mu       sync.Mutex
	settings smtpd.Settings
	server   *smtpd.Server
	options  smtpd.Options // of server
	strict   *smtpd.Server // takes five junk commands
}

var (
	stranger = netip.MustParseAddrPort("192.0.2.7:4321")
	trusted  = netip.MustParseAddrPort("10.1.2.3:4321")
	printer  = netip.MustParseAddrPort("10.9.9.9:4321") // an old one, on a trusted network
	front    = netip.MustParseAddrPort("198.51.100.9:4321")
	here     = netip.MustParseAddrPort("192.0.2.1:25")
)

func newRig(t testing.TB, o stack.Options) *rig {
	t.Helper()
	if o.RelayNetworks == nil {
		o.RelayNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	}
	if o.Ask == nil {
		o.Ask = nextHost
	}
	r := &rig{Stack: stack.New(t, o), t: t, ca: testkit.NewCA(t)}
	r.secure = r.ca.ServerConfig(t, stack.Hostname)
	r.settings = smtpd.Settings{
		Hostname: stack.Hostname, MessageSize: 1_000_000, CommandTimeout: 10 * time.Second, DataTimeout: 10 * time.Second, Junk: 50, Recipients: 1000, Priority: 4,
	}
	options := smtpd.Options{
		Intake: r.Intake, Policy: r.Policy, Rules: r.Rules, Rates: r.Rates, Reverse: r.nameOf, Gate: r.Gate, IDs: r.IDs, TLS: r.secure, Settings: r.current, Fronts: func(a netip.Addr) bool { return a == front.Addr() },
		Old: func(a netip.Addr) bool { return a == printer.Addr() }, Pressed: r.pressed.Load,
		Metrics: smtpd.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
	}
	r.options = options
	r.server = smtpd.New(options)
	options.Settings = func() smtpd.Settings { s := r.current(); s.Junk = 5; return s }
	r.strict = smtpd.New(options)
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		r.stop()
		r.served.Wait()
	})
	r.users()
	return r
}

func (r *rig) nameOf(ctx context.Context, a netip.Addr) (string, error) {
	f, ok := r.reverse.Load().(func(context.Context, netip.Addr) (string, error))
	if !ok {
		return "", nil
	}
	return f(ctx, a)
}

func (r *rig) users() {
	r.Account("alice@hayauma.test", 0)
	r.Account("bob@hayauma.test", 0)
	r.Account("tiny@hayauma.test", 500)
	r.Account("jürgen@hayauma.test", 0)
	r.Account("owner@catch.test", 0)
	r.Alias("team@hayauma.test", "alice@hayauma.test", "bob@hayauma.test")
	r.Alias("chief@hayauma.test", "alice@hayauma.test")
	r.Alias("mixed@hayauma.test", "tiny@hayauma.test", "bob@hayauma.test")
	r.Alias("away@hayauma.test", "me@elsewhere.test")
	r.Alias("*@catch.test", "bob@hayauma.test")
	r.Relay("list.test", account.Relay{Recipients: account.ByList}, "known@list.test")
	r.Relay("any.test", account.Relay{Recipients: account.ByAny})
	r.Relay("split.test", account.Relay{Recipients: account.ByList, Split: true}, "there@split.test")
	r.Account("here@split.test", 0)
	r.Relay("ask.test", account.Relay{Recipients: account.ByAsk, Split: true}, "listed@ask.test")
	r.Account("here@ask.test", 0)
}

// nextHost is what the host of ask.test says of recipients.
func nextHost(_ context.Context, a mail.Address) callahead.Answer {
	switch a.Local {
	case "there":
		return callahead.Answer{Verdict: callahead.Taken}
	case "later":
		return callahead.Answer{Verdict: callahead.Later}
	case "closed":
		return callahead.Answer{Verdict: callahead.Closed}
	case "down":
		return callahead.Answer{}
	}
	return callahead.Answer{Verdict: callahead.Refused}
}

func (r *rig) current() smtpd.Settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings
}

func (r *rig) change(f func(*smtpd.Settings)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.settings)
}

// dial opens a session at a door, and shakes hands if it begins with TLS.
func (r *rig) dial(srv *smtpd.Server, door mail.Door, peer netip.AddrPort, implicit bool) (net.Conn, error) {
	client, server := testkit.MemPipe(peer, here)
	var end net.Conn = server
	if implicit {
		end = tls.Server(&socket.Records{Conn: server}, r.secure)
	}
	r.served.Go(func() { srv.Serve(r.ctx, end, door) })
	if !implicit {
		return client, nil
	}
	secured := tls.Client(client, r.ca.ClientConfig(stack.Hostname))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return secured, secured.HandshakeContext(ctx)
}

// dialDoor is the meaning of a connection's digit in a dialog: 1 server to
// server, 2 submission, 3 submission in TLS, 4 LMTP, 5 from a trusted network, 6
// and 7 from a host that speaks for others, to 1 and 2,
// 8 a server that takes five junk commands, 9 from an old host.
func (r *rig) dialDoor(name string) (net.Conn, error) {
	switch name {
	case "", "1":
		return r.dial(r.server, mail.DoorSMTP, stranger, false)
	case "2":
		return r.dial(r.server, mail.DoorSubmission, stranger, false)
	case "3":
		return r.dial(r.server, mail.DoorSubmission, stranger, true)
	case "4":
		return r.dial(r.server, mail.DoorLMTP, stranger, false)
	case "5":
		return r.dial(r.server, mail.DoorSMTP, trusted, false)
	case "6":
		return r.dial(r.server, mail.DoorSMTP, front, false)
	case "7":
		return r.dial(r.server, mail.DoorSubmission, front, false)
	case "8":
		return r.dial(r.strict, mail.DoorSMTP, stranger, false)
	case "9":
		return r.dial(r.server, mail.DoorSMTP, printer, false)
	}
	return nil, fmt.Errorf("no door %q", name)
}

// client is one connection of a test that is no golden dialog.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func newClient(t testing.TB, conn net.Conn) *client {
	return &client{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// open dials a door and reads the greeting.
func (r *rig) open(name string) *client {
	r.t.Helper()
	conn, err := r.dialDoor(name)
	if err != nil {
		r.t.Fatal(err)
	}
	c := newClient(r.t, conn)
	r.t.Cleanup(func() { _ = conn.Close() }) // closed already by most tests
	c.expect("220")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("send %.40q: %v", text, err)
	}
}

// reply reads one whole reply.
func (c *client) reply() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	var all strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) < 4 || line[3] != '-' {
			return all.String(), err
		}
	}
}

// expect reads one reply that begins with a code.
func (c *client) expect(code string) string {
	c.t.Helper()
	got, err := c.reply()
	if err != nil || !strings.HasPrefix(got, code) {
		c.t.Fatalf("got %q, %v; want %s", got, err, code)
	}
	return got
}

// say sends a line and expects a code.
func (c *client) say(line, code string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(code)
}

// expectEnd expects that the server has closed the connection.
func (c *client) expectEnd() {
	c.t.Helper()
	if got, err := c.reply(); err == nil || got != "" {
		c.t.Fatalf("got %q, %v; want the end", got, err)
	}
}

// deliver sends one message in an open transaction and returns its id.
func (c *client) deliver(from, content string, to ...string) string {
	c.t.Helper()
	c.say("MAIL FROM:<"+from+">", "250")
	for _, rcpt := range to {
		c.say("RCPT TO:<"+rcpt+">", "250")
	}
	c.say("DATA", "354")
	got := c.say(content+".", "250 2.0.0 Accepted as ")
	return strings.TrimSpace(strings.TrimPrefix(got, "250 2.0.0 Accepted as "))
}
