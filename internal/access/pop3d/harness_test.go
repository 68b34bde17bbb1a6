package pop3d

import (
	"bufio"
	"context"
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
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/testkit"
)

const (
	login    = "taro@hayauma.test"
	password = "umi to yama"
)

// world is a server over real stores, with one account.
type world struct {
	t         testing.TB
	db        *failingDB
	mailboxes *mailbox.Store
	account   account.Account
	directory *account.Directory
	scram     atomic.Bool
	server    *Server
	ca        *testkit.CA
	sessions  sync.WaitGroup
}

// failingDB is an engine whose writes can be made to fail.
type failingDB struct {
	db.DB
	mu  sync.Mutex
	err error
}

func (f *failingDB) Write(ctx context.Context, fn func(*db.Tx) error) error {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.DB.Write(ctx, fn)
}

func (f *failingDB) fail(err error) {
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
}

func settings() Settings {
	return Settings{Hostname: "mx.hayauma.test", AllowCleartext: true, Idle: time.Minute, Errors: 10}
}

func newWorld(t testing.TB, set Settings) *world {
	t.Helper()
	w := &world{t: t, ca: testkit.NewCA(t)}
	w.db = &failingDB{DB: dbtest.New(t, account.Schema(), ban.Schema(), pack.Schema(), mailbox.Schema())}
	ids := mail.NewIDs(1, 0)
	logger := slog.New(slog.DiscardHandler)
	packs, err := pack.Open(t.Context(), pack.Options{Dir: t.TempDir(), DB: w.db, IDs: ids, MinFree: -1, Prealloc: 1 << 20})
	w.must(err)
	t.Cleanup(func() { w.must(packs.Close()) })
	w.mailboxes = mailbox.New(mailbox.Options{DB: w.db, Blobs: blob.Store(packs), IDs: ids})
	w.directory = account.New(account.Options{
		DB: w.db, IDs: ids, Logger: logger,
		Postmaster:   func() mail.Address { return mail.Address{} },
		DefaultQuota: func() int64 { return 0 },
		Created:      func(tx *db.Tx, a account.Account) error { return w.mailboxes.Provision(tx, a.ID) },
		Removed:      func(tx *db.Tx, a account.Account) error { return w.mailboxes.Erase(tx, a.ID) },
	})
	addr, err := mail.ParseAddress(login)
	w.must(err)
	w.must(w.directory.AddDomain(t.Context(), addr.Domain))
	w.account, err = w.directory.AddAccount(t.Context(), addr, password)
	w.must(err)
	w.server = New(Options{
		Mailboxes: w.mailboxes, IDs: ids, Logger: logger, TLS: w.ca.ServerConfig(t, "mx.hayauma.test"),
		Gate:     account.NewGate(account.GateOptions{Directory: w.directory, Bans: ban.New(ban.Options{DB: w.db, Limit: 3, Logger: logger}), SCRAM: w.scram.Load, Logger: logger}),
		Settings: func() Settings { return set },
		Metrics:  NewMetrics(prometheus.NewRegistry()),
	})
	t.Cleanup(w.sessions.Wait)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// append files messages in the INBOX.
func (w *world) append(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		a, err := w.mailboxes.Append(w.t.Context(), w.account.ID, mailbox.Inbox)
		w.must(err)
		_, err = io.WriteString(a, text)
		w.must(err)
		_, _, err = a.Commit(w.t.Context(), 0, nil, 0)
		w.must(err)
	}
}

func (w *world) count() int {
	w.t.Helper()
	st, err := w.mailboxes.Status(context.Background(), w.account.ID, mailbox.Inbox)
	w.must(err)
	return int(st.Messages)
}

// dial begins a session that ends when its client closes, or with ctx.
func (w *world) dial(ctx context.Context) net.Conn {
	at := netip.MustParseAddrPort("127.0.0.1:110")
	client, server := testkit.MemPipe(netip.MustParseAddrPort("192.0.2.1:40000"), at)
	w.sessions.Go(func() { w.server.Serve(ctx, server) })
	return client
}

// client is one session as a client sees it.
type client struct {
	net.Conn
	in *bufio.Reader
	t  testing.TB
}

func (w *world) client(ctx context.Context) *client {
	w.t.Helper()
	c := &client{Conn: w.dial(ctx), t: w.t}
	c.in = bufio.NewReader(c)
	w.t.Cleanup(func() { _ = c.Close() })
	w.must(c.SetDeadline(time.Now().Add(30 * time.Second)))
	c.want("+OK")
	return c
}

// session is a client that has logged in.
func (w *world) session(ctx context.Context) *client {
	w.t.Helper()
	c := w.client(ctx)
	c.do("USER "+login, "+OK")
	c.do("PASS "+password, "+OK")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") {
		c.t.Fatalf("got %q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *client) want(prefix string) string {
	c.t.Helper()
	line := c.line()
	if !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("got %q, want %q", line, prefix)
	}
	return line
}

func (c *client) do(command, prefix string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	return c.want(prefix)
}

// body reads the rest of a multi-line response as the client has it.
func (c *client) body() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line := c.line()
		if line == "." {
			return b.String()
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
}

func (c *client) wantEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}
