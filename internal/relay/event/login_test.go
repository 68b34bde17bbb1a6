package event_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

const taro = mail.ID(4711)

// writes counts the writes of an engine, and fails them while it is broken.
type writes struct {
	db.DB
	mu     sync.Mutex
	n      int
	broken bool
}

func (w *writes) Write(ctx context.Context, fn func(*db.Tx) error) error {
	w.mu.Lock()
	w.n++
	broken := w.broken
	w.mu.Unlock()
	if broken {
		return errors.New("no room on the disk")
	}
	return w.DB.Write(ctx, fn)
}

func (w *writes) breaks(broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = broken
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// failures is a writer at work, in the bubble of a test.
type failures struct {
	*event.Logins
	*history
	engine  *writes
	log     bytes.Buffer
	metrics *prometheus.Registry
	stop    func()
}

func newFailures(t *testing.T) *failures {
	t.Helper()
	f := &failures{history: newHistoryOn(t, dbtest.NewEmbedded(t, event.Schema())), metrics: prometheus.NewRegistry()}
	f.engine = &writes{DB: f.db}
	f.Logins = event.NewLogins(event.LoginOptions{
		DB: f.engine, IDs: f.ids, Logger: slog.New(slog.NewTextHandler(&f.log, nil)), Metrics: event.NewLoginMetrics(f.metrics),
		Account: func(_ context.Context, login string) (acc account.Account, ok bool, err error) {
			a, err := mail.ParseAddress("taro@hayauma.test")
			return account.Account{ID: taro, Tenant: 5, Address: a}, strings.EqualFold(login, a.String()), err
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { f.Run(ctx) })
	f.stop = func() { cancel(); ended.Wait() }
	t.Cleanup(f.stop)
	return f
}

// fail has n logins fail.
func (f *failures) fail(n int, user, peer string) {
	for range n {
		a := account.Failure{Door: "imap", User: user, Mechanism: "PLAIN", Reason: "wrong"}
		if peer != "" {
			a.Peer = netip.MustParseAddr(peer)
		}
		f.Failed(a)
	}
}

// written are the rows, oldest first: "name peer", or "+n network".
func (f *failures) written(of mail.ID) (out []string) {
	f.t.Helper()
	list, err := f.history.Logins(f.t.Context(), of, 10_000)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range list {
		who := e.Detail.Login
		if e.Detail.More > 0 {
			who = fmt.Sprintf("+%d", e.Detail.More)
		}
		out = append(out, strings.TrimSpace(who+" "+e.Detail.Peer))
	}
	slices.Reverse(out)
	return out
}

func (f *failures) want(what string, want ...string) {
	f.t.Helper()
	if got := f.written(0); !slices.Equal(got, want) {
		f.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (f *failures) dropped() (n float64) {
	f.t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func times(n int, s string) []string { return slices.Repeat([]string{s}, n) }

func TestFailedLogins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(t)
		until := time.Now().Add(10 * time.Minute)
		f.Failed(account.Failure{
			Door: "submission", User: "Taro@hayauma.test", Mechanism: "SCRAM-SHA-256", Reason: "the proof is wrong",
			Peer: netip.MustParseAddr("2001:db8::7"), Failures: 10, Until: until,
		})
		f.fail(1, "root", "")
		f.want("behind the login's back")
		time.Sleep(2 * time.Second)
		f.want("soon", "Taro@hayauma.test 2001:db8::7", "root")
		if n := f.engine.count(); n != 1 {
			t.Errorf("%d commits for two failures at one moment", n)
		}
		list, err := f.history.Logins(t.Context(), taro, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("of the account: %+v, %v", list, err)
		}
		want := event.Event{
			ID: list[0].ID, Tenant: 5, Account: taro, At: list[0].At, Kind: event.LoginFailed,
			Detail: event.Detail{
				Door: "submission", Login: "Taro@hayauma.test", Account: "taro@hayauma.test", Mechanism: "SCRAM-SHA-256", Peer: "2001:db8::7",
				Reason: "the proof is wrong", Next: until.UTC().Format(time.RFC3339),
			},
		}
		if fmt.Sprint(list[0]) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", list[0], want)
		}
		if at := list[0].Time(); until.Sub(at) != 10*time.Minute {
			t.Errorf("it happened at %v", at)
		}
		if list, err := f.history.Logins(t.Context(), 0, 1); err != nil || len(list) != 1 || list[0].Detail.Login != "root" {
			t.Errorf("the newest one: %+v, %v", list, err)
		}
		// They are no message's.
		if _, err := f.Trace(t.Context(), mail.ID(0).String()); !errors.Is(err, event.ErrNoMessage) {
			t.Errorf("trace of no message: %v", err)
		}
		if n, err := f.Prune(t.Context(), time.Now().AddDate(40, 0, 0)); n != 2 || err != nil {
			t.Errorf("%d rows went when their time was over, %v", n, err)
		}
	})
}

// An attacker gets a few rows a minute and then one that says how many more.
func TestFailedLoginsOfANetworkAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(t)
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
		f.fail(500, "root", "192.0.2.1")
		f.fail(2, "taro@hayauma.test", "192.0.2.2")
		f.fail(12, "x", "")
		time.Sleep(30 * time.Second)
		f.fail(500, "admin", "192.0.2.1")
		now := slices.Concat(times(10, "root 192.0.2.1"), times(2, "taro@hayauma.test 192.0.2.2"), times(10, "x"))
		f.want("within the minute", now...)
		time.Sleep(32 * time.Second)
		got := f.written(0)
		sums := slices.Sorted(slices.Values(got[len(now):]))
		if !slices.Equal(got[:len(now)], now) || !slices.Equal(sums, []string{"+2", "+990 192.0.2.1/32"}) {
			t.Errorf("after it: %q", got)
		}
		writes := f.engine.count()
		time.Sleep(time.Hour)
		if n := f.engine.count(); n != writes {
			t.Errorf("%d commits while nothing happens", n-writes)
		}
		f.fail(11, "root", "192.0.2.1")
		f.stop() // tells what it owes
		if got := f.written(0)[len(got):]; !slices.Equal(got, append(times(10, "root 192.0.2.1"), "+1 192.0.2.1/32")) {
			t.Errorf("a later minute: %q", got)
		}
	})
}

// Many networks get no more rows together than the bound in all.
func TestFailedLoginsInAllAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(t)
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
		for i := range 2000 {
			f.fail(1, "root", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String())
		}
		f.fail(3, "root", "10.0.0.0") // which has a row of its own
		time.Sleep(2 * time.Minute)
		got := f.written(0)
		sums := slices.Sorted(slices.Values(got[60:]))
		if !slices.Equal(sums, []string{"+1940", "+3 10.0.0.0/32"}) || got[59] != "root 10.0.0.59" {
			t.Errorf("%d rows: %q", len(got), got)
		}
	})
}

// What the database does not take waits, within bounds.
func TestFailedLoginsWithoutADatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(t)
		time.Sleep(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)))
		f.engine.breaks(true)
		f.fail(2, "root", "192.0.2.1")
		time.Sleep(20 * time.Second)
		f.fail(1, "admin", "192.0.2.1")
		time.Sleep(5 * time.Second)
		f.engine.breaks(false)
		time.Sleep(15 * time.Second)
		f.want("once it is back", "root 192.0.2.1", "root 192.0.2.1", "admin 192.0.2.1")
		if f.dropped() != 0 {
			t.Errorf("%v dropped", f.dropped())
		}
		f.engine.breaks(true)
		for range 30 { // 60 rows and a sum each
			time.Sleep(time.Minute)
			for i := range 100 {
				f.fail(1, "root", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String())
			}
		}
		f.engine.breaks(false)
		time.Sleep(2 * time.Minute)
		kept, dropped := len(f.written(0))-3, f.dropped()
		if kept < 1000 || kept > 1001 || dropped == 0 || float64(kept)+dropped != 30*61 {
			t.Errorf("%d kept, %v dropped", kept, dropped)
		}
		if n := strings.Count(f.log.String(), "missing in the history"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		f.engine.breaks(true)
		f.fail(7, "root", "192.0.2.1")
		f.stop()
		if f.dropped() != dropped+7 {
			t.Errorf("%v dropped at the end", f.dropped()-dropped)
		}
	})
}

func TestFailedLoginsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFailures(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 100 {
					f.fail(1, "root", fmt.Sprintf("192.0.2.%d", i))
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		f.stop()
		sum := 0
		list, err := f.history.Logins(t.Context(), 0, 10_000)
		for _, e := range list {
			sum += max(1, e.Detail.More)
		}
		if err != nil || sum != 800 {
			t.Errorf("%d failures are told of, want 800; %v", sum, err)
		}
	})
}

// The listing on every engine: newest first, of one account or of all, and nothing
// of messages.
func TestLogins(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i := range 5 {
		e := event.Event{Kind: event.LoginFailed, Detail: event.Detail{Login: fmt.Sprint("name", i)}}
		if i%2 == 0 {
			e.Account = taro
		}
		about := h.accepted("<a@hayauma.test>")
		about.Account = taro
		h.append(e, about)
	}
	for want, ask := range map[string]struct {
		of    mail.ID
		limit int
	}{"name4 name3 name2 name1 name0": {0, 10}, "name4 name3": {0, 2}, "name4 name2 name0": {taro, 10}, "name4 name2": {taro, 2}, "": {1, 10}} {
		list, err := h.Logins(t.Context(), ask.of, ask.limit)
		var got []string
		for _, e := range list {
			got = append(got, e.Detail.Login)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%+v: %q, %v; want %q", ask, got, err, want)
		}
	}
}
