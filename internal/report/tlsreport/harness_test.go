package tlsreport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const day = 24 * time.Hour

// world is Reports over a real database, a real web server and a DNS server.
type world struct {
	*tlsreport.Reports
	t    *testing.T
	db   db.DB
	down atomic.Bool // the database writes nothing
	deaf atomic.Bool // it writes, and its answer is lost
	dns  *testkit.DNS
	ca   *testkit.CA
	web  *httptest.Server
	set  tlsreport.Settings

	mu     sync.Mutex
	now    time.Time
	status int      // what the web server answers
	posted []string // "POST host/path type" and behind a line feed the report, as it came
}

// newWorld is one at noon, whose web server takes reports at r.test and s.test.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), status: http.StatusCreated, ca: testkit.NewCA(t),
		dns: testkit.StartDNS(t, "r.test. 60 A 192.0.2.9", "s.test. 60 A 192.0.2.9"), db: dbtest.New(t, tlsreport.Schema()),
		set: tlsreport.Settings{On: true, Hostname: "mx.ours.test"},
	}
	w.web = httptest.NewUnstartedServer(w)
	w.web.TLS = w.ca.ServerConfig(t, "r.test", "s.test")
	w.web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.web.StartTLS()
	t.Cleanup(w.web.Close)
	w.restart()
	return w
}

// restart is a process that knows only what is stored.
func (w *world) restart() { w.Reports = w.process() }

func (w *world) process() *tlsreport.Reports {
	return tlsreport.New(tlsreport.Options{
		DB: fragile{w.db, &w.down, &w.deaf}, TXT: w.txt, Post: w.poster().Post,
		Settings: func() tlsreport.Settings { return w.set }, Now: w.time, Logger: slog.New(slog.DiscardHandler),
	})
}

// txt asks each time: what the test has changed is seen.
func (w *world) txt(ctx context.Context, name string) ([]string, error) {
	return dnsx.New(dnsx.Options{Server: w.dns.Addr, Timeout: 500 * time.Millisecond}).TXT(ctx, name)
}

func (w *world) poster() *tlsreport.Poster {
	return &tlsreport.Poster{
		Resolver: dnsx.New(dnsx.Options{Server: w.dns.Addr, Timeout: 500 * time.Millisecond}), Roots: w.ca.Pool,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "192.0.2.9:443" {
				return nil, errors.New("unknown host " + addr)
			}
			return new(net.Dialer).DialContext(ctx, network, w.web.Listener.Addr().String())
		},
	}
}

// ServeHTTP takes reports.
func (w *world) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.posted = append(w.posted, fmt.Sprintf("%s %s%s %s\n%s", r.Method, r.Host, r.URL, r.Header.Get("Content-Type"), body))
	}
	answer.Header().Set("Location", "https://s.test/elsewhere")
	answer.WriteHeader(w.status)
}

// got is what was posted since the last call.
func (w *world) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.posted = nil }()
	return w.posted
}

func (w *world) answer(status int) { w.mu.Lock(); defer w.mu.Unlock(); w.status = status }

// fragile is an engine that can be down.
type fragile struct {
	db.DB
	down, deaf *atomic.Bool
}

var errBroken = errors.New("the database is down")

func (f fragile) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if f.down.Load() {
		return errBroken
	}
	err := f.DB.Write(ctx, fn)
	if err == nil && f.deaf.Load() {
		return db.ErrUnknown
	}
	return err
}

func (w *world) time() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

// pass lets time go by.
func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

// wish makes a domain ask for reports; "" = it does not.
func (w *world) wish(domain, rua string) {
	w.dns.Remove("_smtp._tls." + domain)
	if rua != "" {
		w.dns.Add(fmt.Sprintf(`_smtp._tls.%s. 60 TXT "v=TLSRPTv1; rua=%s"`, domain, rua))
	}
}

func (w *world) store() {
	w.t.Helper()
	if err := w.Store(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// send sends what is due and wants so many requests to have come.
func (w *world) send(want int) []string {
	w.t.Helper()
	if err := w.Send(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	got := w.got()
	if len(got) != want {
		w.t.Fatalf("%d requests at %v, want %d: %.200q", len(got), w.time(), want, got)
	}
	return got
}

// states are those of all reports: "x.test 1 sent".
func (w *world) states() string {
	w.t.Helper()
	list, err := w.List(w.t.Context(), 100)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%s %d %s", s.Domain, s.Attempts, s.State))
	}
	return strings.Join(out, ", ")
}

// rows counts those of a table.
func (w *world) rows(table string) (n int) {
	w.t.Helper()
	if err := w.db.Read(w.t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM "+table), nil, &n)
	}); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// plain is a success without a policy, enforced one under MTA-STS, proven one under DANE.
func plain(domain string) outbound.TLSResult {
	return outbound.TLSResult{
		Domain: domain, Policy: "no-policy-found", Host: "mx." + domain + ".",
		Addr: netip.MustParseAddrPort("192.0.2.25:25"), Local: netip.MustParseAddr("198.51.100.1"),
	}
}

func enforced(domain string) outbound.TLSResult {
	t := plain(domain)
	t.Policy, t.Patterns = "sts", []string{"mx." + domain, "*.b.test"}
	t.Lines = []string{"version: STSv1", "mode: enforce", "mx: mx." + domain, "mx: *.b.test", "max_age: 86400"}
	return t
}

func proven(domain string) outbound.TLSResult {
	t := plain(domain)
	t.Policy, t.Base, t.Lines = "tlsa", "base."+domain, []string{"3 1 1 " + strings.Repeat("AB", 32)}
	return t
}

// failing is a result that failed.
func failing(t outbound.TLSResult, failure, reason string) outbound.TLSResult {
	t.Failure, t.Reason = failure, reason
	return t
}
