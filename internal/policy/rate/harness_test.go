package rate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alice, bob = mail.ID(1001), mail.ID(1002)

// hands is a clock that a test moves.
type hands struct {
	mu     sync.Mutex
	wall   time.Time
	steady time.Duration
}

func (h *hands) clock() rate.Clock {
	return rate.Clock{
		Wall:   func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.wall },
		Steady: func() time.Duration { h.mu.Lock(); defer h.mu.Unlock(); return h.steady },
	}
}

// pass lets time go by.
func (h *hands) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wall, h.steady = h.wall.Add(d), h.steady+d
}

// set steps the wall clock, as somebody who corrects it does.
func (h *hands) set(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wall = h.wall.Add(d)
}

// fragile is an engine that can be down.
type fragile struct {
	db.DB
	down *atomic.Bool
}

func (f fragile) Read(ctx context.Context, fn func(*db.Tx) error) error {
	if f.down.Load() {
		return errBroken
	}
	return f.DB.Read(ctx, fn)
}

// world is a limiter on a real engine.
type world struct {
	*rate.Limiter
	t     testing.TB
	db    db.DB
	down  *atomic.Bool // the database reads nothing
	hands *hands

	mu       sync.Mutex
	defaults rate.Limits
	hooks    []string // "hold 1001", "release 1001"
	broken   error    // of the hooks
	queued   int      // what Release lets go
}

func newWorld(t testing.TB, limits map[string]int64) *world {
	t.Helper()
	down := new(atomic.Bool)
	w := &world{t: t, down: down, db: fragile{dbtest.New(t, rate.Schema()), down}, hands: &hands{wall: time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)}}
	w.setDefaults(limits)
	w.restart()
	return w
}

func (w *world) setDefaults(limits map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.defaults = rate.Limits{}
	for i, r := range rate.Rules() {
		w.defaults[i] = limits[r.Name]
	}
}

// restart is a kill and a new start: nothing but the database is left.
func (w *world) restart() {
	w.t.Helper()
	l, err := rate.Open(context.Background(), rate.Options{
		DB: w.db, Clock: w.hands.clock(), Logger: slog.New(slog.DiscardHandler),
		Defaults: func(k rate.Kind) rate.Limits {
			w.mu.Lock()
			defer w.mu.Unlock()
			if k == rate.Account {
				return w.defaults
			}
			return rate.Limits{}
		},
		Hold:    func(_ context.Context, id mail.ID) error { return w.hook("hold", id) },
		Release: func(_ context.Context, id mail.ID) error { return w.hook("release", id) },
		Waiting: func(context.Context, mail.ID) (int, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.queued, nil
		},
	})
	w.must(err)
	w.Limiter = l
}

func (w *world) hook(what string, id mail.ID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return w.broken
	}
	w.hooks = append(w.hooks, fmt.Sprint(what, " ", int64(id)))
	return nil
}

func (w *world) took() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.hooks...)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func from(id mail.ID) rate.Sender { return rate.Sender{Account: id} }

func domainOf(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func to(n int) mail.Address {
	a, err := mail.ParseAddress(fmt.Sprintf("r%d@far.test", n))
	if err != nil {
		return mail.Address{}
	}
	return a
}

// open begins a message to addresses, all or nothing.
func (w *world) open(s rate.Sender, addresses ...mail.Address) (*rate.Reservation, *mail.Fault) {
	r, fault := w.Begin(context.Background(), s)
	if fault != nil {
		return nil, fault
	}
	for _, a := range addresses {
		if fault := r.Recipient(context.Background(), a); fault != nil {
			return nil, fault
		}
	}
	return r, nil
}

// begin keeps room for a message to addresses.
func (w *world) begin(s rate.Sender, addresses ...mail.Address) (*rate.Reservation, *mail.Fault) {
	r, fault := w.open(s, addresses...)
	if fault == nil {
		fault = r.Keep(context.Background())
	}
	if fault != nil {
		return nil, fault
	}
	return r, nil
}

func (w *world) commit(group ...*rate.Reservation) error {
	return w.db.Write(context.Background(), func(tx *db.Tx) error { return w.Commit(tx, group...) })
}

// send submits a message to addresses; false = it was put off.
func (w *world) send(s rate.Sender, addresses ...mail.Address) bool {
	w.t.Helper()
	r, fault := w.begin(s, addresses...)
	if fault != nil {
		if fault.Code() != 450 || fault.Enhanced() != "4.7.1" {
			w.t.Fatalf("refused with %v", fault)
		}
		return false
	}
	w.must(w.commit(r))
	r.Release() // as Abort does in any case
	return true
}

// sends returns how many of n messages are taken.
func (w *world) sends(n int) (taken int) {
	w.t.Helper()
	for i := range n {
		if w.send(from(alice), to(i)) {
			taken++
		}
	}
	return taken
}

// burst commits n messages to k known addresses each in one group.
func (w *world) burst(id mail.ID, n, k int) {
	w.t.Helper()
	var group []*rate.Reservation
	for range n {
		var list []mail.Address
		for i := range k {
			list = append(list, to(i))
		}
		r, fault := w.begin(from(id), list...)
		if fault != nil {
			w.t.Fatal(fault)
		}
		group = append(group, r)
	}
	w.must(w.commit(group...))
}

var errBroken = errors.New("broken")
