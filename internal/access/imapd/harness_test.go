package imapd_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/access/imapd"
	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/testkit"
)

const (
	login    = "horse@example.test"
	password = "faster than the wind"
)

// world is a server over a real store with one account.
type world struct {
	t         testing.TB
	db        db.DB
	bodies    *pack.Store
	boxes     *mailbox.Store
	account   account.Account
	directory *account.Directory
	ca        *testkit.CA
	tls       *tls.Config
	server    *imapd.Server
	scram     atomic.Bool
	set       atomic.Pointer[imapd.Settings]
	quota     atomic.Int64 // octets, 0 = none
	log       lockedBuffer
	ctx       context.Context
	stop      context.CancelFunc
	wg        sync.WaitGroup
}

// lockedBuffer is a log that many may write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	w.db = dbtest.New(t, account.Schema(), ban.Schema(), mailbox.Schema(), pack.Schema())
	ids := mail.NewIDs(1, 0)
	logger := slog.New(slog.NewTextHandler(&w.log, nil))
	bodies, err := pack.Open(t.Context(), pack.Options{
		Dir: filepath.Join(t.TempDir(), "bodies"), DB: w.db, IDs: ids, MinFree: -1, Prealloc: 1 << 20,
	})
	w.must(err)
	w.bodies = bodies
	w.boxes = mailbox.New(mailbox.Options{
		DB: w.db, Blobs: bodies, IDs: ids, Logger: logger,
		Quota: func(context.Context, mail.ID) (int64, error) { return w.quota.Load(), nil },
	})
	w.directory = account.New(account.Options{
		DB: w.db, IDs: ids, Logger: logger,
		Postmaster:   func() mail.Address { return mail.Address{} },
		DefaultQuota: func() int64 { return 0 },
		Created:      func(tx *db.Tx, a account.Account) error { return w.boxes.Provision(tx, a.ID) },
		Removed:      func(tx *db.Tx, a account.Account) error { return w.boxes.Erase(tx, a.ID) },
	})
	addr, err := mail.ParseAddress(login)
	w.must(err)
	w.must(w.directory.AddDomain(t.Context(), addr.Domain))
	w.account, err = w.directory.AddAccount(t.Context(), addr, password)
	w.must(err)

	w.ca = testkit.NewCA(t)
	w.tls = w.ca.ServerConfig(t, "mx.example.test")
	w.set.Store(&imapd.Settings{Hostname: "mx.example.test", MessageSize: 1 << 20, AllowCleartext: true, Errors: 5})
	w.server = imapd.New(imapd.Options{
		Mailboxes: w.boxes, IDs: ids, TLS: w.tls, Logger: logger,
		Gate:     account.NewGate(account.GateOptions{Directory: w.directory, Bans: ban.New(ban.Options{DB: w.db, Limit: 3, Logger: logger}), SCRAM: w.scram.Load, Logger: logger}),
		Settings: func() imapd.Settings { return *w.set.Load() },
		Metrics:  imapd.NewMetrics(prometheus.NewRegistry()),
	})
	w.ctx, w.stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		w.stop()
		w.wg.Wait()
		w.must(bodies.Close())
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// change alters the settings.
func (w *world) change(f func(*imapd.Settings)) {
	set := *w.set.Load()
	f(&set)
	w.set.Store(&set)
}

// dial opens a session in memory. A connection called 9 has TLS from the start.
func (w *world) dial(name string) (net.Conn, error) {
	client, server := testkit.MemPipe(netip.MustParseAddrPort("192.0.2.1:50000"), netip.MustParseAddrPort("192.0.2.2:143"))
	if name == "9" {
		w.serve(tls.Server(server, w.tls))
		return tls.Client(client, w.ca.ClientConfig("mx.example.test")), nil
	}
	w.serve(server)
	return client, nil
}

func (w *world) serve(c net.Conn) {
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		w.server.Serve(w.ctx, c)
	}()
}

func (w *world) dialog() testkit.Dialog {
	return testkit.Dialog{Dial: w.dial, TLS: w.ca.ClientConfig("mx.example.test")}
}

// sampleDate is the internal date of samples.
var sampleDate = time.Date(2026, time.February, 3, 4, 5, 6, 0, time.UTC)

// keep files a message.
func (w *world) keep(name string, text []byte, flags mailbox.Flags, keywords ...string) uint32 {
	w.t.Helper()
	a, err := w.boxes.Append(context.Background(), w.account.ID, name)
	w.must(err)
	_, err = a.Write(text)
	w.must(err)
	_, uid, err := a.Commit(context.Background(), flags, keywords, mail.Micros(sampleDate))
	w.must(err)
	return uid
}

// samples fills INBOX with the messages of testdata.
func (w *world) samples() {
	w.t.Helper()
	files, err := filepath.Glob("testdata/*.eml")
	w.must(err)
	for _, file := range files {
		w.keep("INBOX", sample(w.t, strings.TrimSuffix(filepath.Base(file), ".eml")), 0)
	}
}

// sample reads a message of testdata.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
}
