package sts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Store over a real database, a real web server and a DNS server.
type world struct {
	*sts.Store
	t     *testing.T
	db    db.DB
	down  atomic.Bool // the database reads nothing
	reads atomic.Int64
	dns   *testkit.DNS
	web   *testkit.PolicyHost
	fetch *mtasts.Fetcher
	off   bool // nobody uses policies

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

// newWorld is one whose web server publishes policies of x.test, y.test and z.test.
func newWorld(t *testing.T) *world {
	t.Helper()
	ca := testkit.NewCA(t)
	w := &world{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), dns: testkit.StartDNS(t)}
	w.web = testkit.StartPolicyHost(t, "", ca.ServerConfig(t, "mta-sts.x.test", "mta-sts.y.test", "mta-sts.z.test"))
	w.db = dbtest.New(t, sts.Schema())
	w.fetch = &mtasts.Fetcher{
		Resolver: dnsx.New(dnsx.Options{Server: w.dns.Addr, Timeout: 500 * time.Millisecond}), Roots: ca.Pool,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.web.Addr)
		},
	}
	for _, domain := range []string{"x.test", "y.test", "z.test"} {
		w.dns.Add("mta-sts." + domain + ". 60 A 192.0.2.9")
	}
	w.restart()
	return w
}

// restart is a process that knows only what is stored.
func (w *world) restart() {
	w.Store = sts.New(sts.Options{
		DB: fragile{w.db, &w.down, &w.reads}, TXT: w.txt, Fetch: w.fetch.Fetch,
		Now: w.time, InUse: func() bool { return !w.off }, Logger: slog.New(slog.NewTextHandler(locked{w}, nil)),
	})
}

// txt asks each time: what the test has changed is seen.
func (w *world) txt(ctx context.Context, name string) ([]string, error) {
	return dnsx.New(dnsx.Options{Server: w.dns.Addr, Timeout: 500 * time.Millisecond}).TXT(ctx, name)
}

type locked struct{ w *world }

func (l locked) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(p)
}

// logged is what was logged since the last call.
func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.log.Reset()
	return w.log.String()
}

// fragile is an engine that can be down.
type fragile struct {
	db.DB
	down  *atomic.Bool
	reads *atomic.Int64
}

var errBroken = errors.New("the database is down")

func (f fragile) Read(ctx context.Context, fn func(*db.Tx) error) error {
	f.reads.Add(1)
	if f.down.Load() {
		return errBroken
	}
	return f.DB.Read(ctx, fn)
}

func (w *world) time() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

// pass lets time go by.
func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

// announce replaces the record of a domain; "" = it has none.
func (w *world) announce(domain, id string) {
	w.dns.Remove("_mta-sts." + domain)
	if id != "" {
		w.dns.Add(fmt.Sprintf(`_mta-sts.%s. 60 TXT "v=STSv1; id=%s;"`, domain, id))
	}
}

func policy(mode, mx string, age time.Duration) string {
	return fmt.Sprintf("version: STSv1\nmode: %s\nmx: %s\nmax_age: %d\n", mode, mx, age/time.Second)
}

// publish is announce and what the web server says.
func (w *world) publish(domain, id, mode, mx string, age time.Duration) {
	w.announce(domain, id)
	w.web.Publish(domain, policy(mode, mx, age))
}

// want looks a domain up: "enforce a.test 1", then a failure, and how often the web
// server was asked since the last time.
func (w *world) want(domain, want string, asked int32) {
	w.t.Helper()
	h, err := w.Lookup(w.t.Context(), domain)
	got := "none"
	if h.Mode != "" {
		got = fmt.Sprintf("%s %s %s", h.Mode, h.MX[0], h.ID)
	}
	if h.Failure != "" {
		got += " " + h.Failure
		if h.Reason == "" {
			w.t.Error("a failure without reason")
		}
	}
	if err != nil || got != want {
		w.t.Errorf("%s: %s, %v; want %s (%s)", domain, got, err, want, h.Reason)
	}
	w.asked(asked)
}

func (w *world) asked(want int32) {
	w.t.Helper()
	if n := w.web.Asked.Swap(0); n != want {
		w.t.Errorf("the web server was asked %d times, want %d", n, want)
	}
}

// count is how many questions of a type were asked for a name.
func (w *world) count(name, kind string) (n int) {
	for _, q := range w.dns.Queries() {
		if q.Name == name+"." && q.Type == kind {
			n++
		}
	}
	return n
}

func (w *world) rows() (n int) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM sts_policy"), nil, &n)
	}); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// insert stores a policy as if it had been fetched now.
func (w *world) insert(domain string) {
	w.t.Helper()
	now := w.time()
	if err := w.db.Write(w.t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO sts_policy (domain, id, policy, fetched, expires, due, used, failure, reason) VALUES (?, '1', ?, ?, ?, ?, ?, '', '')"),
			domain, policy("enforce", "a.test", 7*24*time.Hour), now.UnixMicro(), now.Add(7*24*time.Hour).UnixMicro(), now.UnixMicro(), now.Unix()/86400)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
}
