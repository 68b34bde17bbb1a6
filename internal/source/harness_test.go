package source_test

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const google = "google.com"

// world is a store on a real engine, with a clock that the test moves.
type world struct {
	*source.Store
	t  *testing.T
	db db.DB

	mu     sync.Mutex
	now    time.Time
	steady time.Duration
	chance func(n int) int
	lacks  map[string]error // addresses that the machine does not have
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: dbtest.New(t, source.Schema()), now: time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC),
		chance: func(int) int { return 0 }, lacks: map[string]error{}}
	w.restart()
	return w
}

// restart is a kill and a new start: nothing but the database is left.
func (w *world) restart() {
	w.t.Helper()
	s, err := source.Open(w.t.Context(), source.Options{
		DB: w.db, Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Steady: func() time.Duration { w.mu.Lock(); defer w.mu.Unlock(); return w.steady },
		Below:  func(n int) int { return w.chance(n) },
		Bind:   func(a netip.Addr) error { return w.lacks[a.String()] },
	})
	w.must(err)
	w.Store = s
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pass(d time.Duration) {
	w.jump(d)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steady += d
}

// jump sets the machine's clock.
func (w *world) jump(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) pool(p source.Pool, addresses ...source.Addition) {
	w.t.Helper()
	w.must(w.set(source.PoolChange{Name: p.Name, Overflow: &p.Overflow, WarmUp: new(source.FormatWarmUp(p.WarmUp))}))
	for _, a := range addresses {
		a.Pool = p.Name
		w.must(w.add(a))
	}
}

func (w *world) set(c source.PoolChange) error {
	_, err := w.SetPool(background(), c)
	return err
}

func (w *world) add(a source.Addition) error {
	_, err := w.AddAddress(background(), a)
	return err
}

func (w *world) rule(kind source.Kind, name, pool string) {
	w.t.Helper()
	w.must(w.SetRule(w.t.Context(), source.Rule{Kind: kind, Name: name, Pool: pool}))
}

// choose is the address for a connection to an IPv4 host, or why there is none.
func (w *world) choose(pool string) string {
	a, err := w.Choose(pool, google, netip.MustParseAddr("192.0.2.1"), netip.Addr{})
	if err != nil {
		return err.Error()
	}
	return a.Addr.String()
}

// send delivers n messages from an address, as far as that is allowed, and tells how
// many went.
func (w *world) send(from string, n int) int {
	w.t.Helper()
	addr := netip.MustParseAddr(from)
	room, day := w.Take(google, addr, n)
	if day != 0 {
		w.delivered(addr, room)
	}
	return room
}

// delivered records so many messages as the queue does.
func (w *world) delivered(from netip.Addr, n int) {
	w.t.Helper()
	reports := make([]queue.Report, n)
	for i := range reports {
		reports[i] = queue.Report{Message: &queue.Message{}, Outcome: queue.Outcome{Result: queue.Delivered, Source: from, Warming: google}}
	}
	w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error { return w.Observer(silent{}).Attempted(tx, reports) }))
}

type silent struct{}

func (silent) Attempted(*db.Tx, []queue.Report) error            { return nil }
func (silent) Administered(*db.Tx, string, []queue.Report) error { return nil }

func sender(account mail.ID, stream string, tags ...string) source.Sender {
	return source.Sender{Tags: tags, Account: account, Stream: stream, Tenant: 1}
}

func background() context.Context { return context.Background() }
