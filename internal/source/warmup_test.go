package source_test

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/source"
)

const day = 24 * time.Hour

// TestRamp: each day on which at least half is used leads to the next step; days
// without mail, or with little of it, to none.
func TestRamp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "p", WarmUp: []int{10, 20, 40}}, source.Addition{Address: "192.0.2.7", WarmUp: new(true)})
	for i, c := range []struct {
		rest     time.Duration // before
		ask, got int
	}{
		{0, 7, 7}, {0, 7, 3}, {0, 1, 0},
		{day, 15, 15},    // the second step
		{10 * day, 5, 5}, // the third, whatever the days between
		{0, 100, 35},
		{-day, 1, 0}, // a clock that goes back allows nothing twice
		{day, 1, 0},
		{day, 100_000, 100_000}, // warmed
	} {
		w.pass(c.rest)
		if i%2 == 1 {
			w.restart()
		}
		if got := w.send("192.0.2.7", c.ask); got != c.got {
			t.Errorf("%d: %d of %d, want %d", i, got, c.ask, c.got)
		}
	}
	w = newWorld(t)
	w.pool(source.Pool{Name: "p", WarmUp: []int{10, 20, 40}}, source.Addition{Address: "192.0.2.7", WarmUp: new(true)})
	for range 5 {
		w.send("192.0.2.7", 4)
		w.pass(day)
	}
	if got := w.send("192.0.2.7", 100); got != 10 {
		t.Errorf("after days with little: %d", got)
	}
}

// TestOverflow: what the warm-up does not allow goes by warmed addresses of the pool,
// then by those of the other one, and else waits with a reason.
func TestOverflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "old"}, source.Addition{Address: "192.0.2.1"})
	w.pool(source.Pool{Name: "p", Overflow: "old", WarmUp: []int{10}}, source.Addition{Address: "192.0.2.7", WarmUp: new(true)}, source.Addition{Address: "192.0.2.8"})
	want := func(pool, want string) {
		t.Helper()
		if got := w.choose(pool); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	want("p", "192.0.2.7")
	w.send("192.0.2.7", 10)
	want("p", "192.0.2.8")
	if a, err := w.Choose("p", "other.test", netip.MustParseAddr("192.0.2.1"), netip.Addr{}); err != nil || a.Addr.String() != "192.0.2.7" {
		t.Errorf("to another provider: %v %v", a, err)
	}
	w.must(w.RemoveAddress(background(), "192.0.2.8"))
	want("p", "192.0.2.1")
	if !w.Fits("p", google, netip.MustParseAddr("192.0.2.1")) || w.Fits("p", google, netip.MustParseAddr("192.0.2.7")) {
		t.Error("a connection of the overflow fits, one that is spent does not")
	}
	if w.Fits("old", google, netip.MustParseAddr("192.0.2.7")) {
		t.Error("a connection of another pool fits")
	}
	w.must(w.set(source.PoolChange{Name: "p", Overflow: new("")}))
	w.chance = func(n int) int { return n - 1 }
	want("p", "451 4.4.5 The source addresses of the pool p have sent what their warm-up allows to google.com today: 10; more at 2026-03-11 00:00 UTC")
	err := w.Ready("p", google)
	none, ok := err.(*source.None) //nolint:errorlint // that is what it promises
	if !ok || none.Wait < 16*time.Hour || none.Wait > 17*time.Hour {
		t.Errorf("it waits for %v", err)
	}
	w.chance = func(int) int { return 0 }
	w.pass(16 * time.Hour)
	want("p", "192.0.2.7")
}

// TestGivenBack: room that was not used is there for others; what is under way is
// not. A kill forgets only what was under way.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := netip.MustParseAddr("192.0.2.7")
	w.pool(source.Pool{Name: "p", WarmUp: []int{10}}, source.Addition{Address: addr.String(), WarmUp: new(true)})
	var day int64
	take := func(n, want int) {
		t.Helper()
		var room int
		if room, day = w.Take(google, addr, n); room != want || day == 0 {
			t.Errorf("room for %d of %d, want %d (counted: %v)", room, n, want, day != 0)
		}
	}
	take(6, 6)
	take(6, 4)
	w.GiveBack(google, addr, 4, day)
	w.delivered(addr, 3)
	w.GiveBack(google, addr, 3, day)
	take(8, 7)
	w.restart()
	take(8, 7)
	if room, day := w.Take(google, netip.MustParseAddr("192.0.2.99"), 5); room != 5 || day != 0 {
		t.Error("an address that nobody warms is counted")
	}
	// The warm-up ends by hand, and begins anew.
	w.must(w.add(source.Addition{Pool: "p", Address: addr.String(), WarmUp: new(false)}))
	if room, day := w.Take(google, addr, 500); room != 500 || day != 0 {
		t.Error("it is warmed")
	}
	w.must(w.add(source.Addition{Pool: "p", Address: addr.String(), WarmUp: new(true)}))
	take(11, 10)
}

// TestManyWorkers: however many ask at once, no more goes than the day allows.
func TestManyWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := netip.MustParseAddr("192.0.2.7")
	w.pool(source.Pool{Name: "p", WarmUp: []int{500}}, source.Addition{Address: addr.String(), WarmUp: new(true)})
	var all sync.WaitGroup
	var out, most atomic.Int64
	for i := range 16 {
		all.Go(func() {
			for n := range 100 {
				room, day := w.Take(google, addr, 1+n%3)
				if now := out.Add(int64(room)); now > most.Load() {
					most.Store(now)
				}
				if back := room * (i % 2); back > 0 {
					out.Add(-int64(back))
					w.GiveBack(google, addr, back, day)
				}
			}
		})
	}
	all.Wait()
	if n := most.Load(); n > 500 || out.Load() > 500 || n < 400 {
		t.Errorf("up to %d under way, %d in the end", n, out.Load())
	}
}

// TestPlan: what is told beforehand is what happens.
func TestPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "p", WarmUp: []int{10, 20, 40}}, source.Addition{Address: "192.0.2.7", WarmUp: new(true)}, source.Addition{Address: "192.0.2.8"})
	w.send("192.0.2.7", 6)
	w.pass(day)
	w.send("192.0.2.7", 3)
	plans, err := w.Plans("p", 5)
	w.must(err)
	if len(plans) != 2 {
		t.Fatalf("%+v", plans)
	}
	if p := plans[0]; p.Provider != "" || p.Day != 1 || p.Budget != 10 || p.Ends != "2026-03-14" || len(p.Ahead) != 2 || p.Ahead[1] != (source.Day{Date: "2026-03-13", Budget: 40}) {
		t.Errorf("with a new provider: %+v", p)
	}
	if p := plans[1]; p.Provider != google || p.Day != 2 || p.Days != 3 || p.Budget != 20 || p.Sent != 3 || p.Ends != "2026-03-13" || len(p.Ahead) != 1 {
		t.Errorf("with one that it knows: %+v", p)
	}
	offers := w.Offers("p", google)
	if len(offers) != 2 || offers[0].Plan == nil || offers[0].Plan.Sent != 3 || offers[1].Plan != nil {
		t.Errorf("offers %+v", offers)
	}
	if _, err := w.Plans("x", 5); err == nil || !strings.Contains(err.Error(), "no pool") {
		t.Errorf("of no pool: %v", err)
	}
	// Half a year later it begins anew with who had nothing meanwhile.
	w.pass(180 * day)
	w.must(w.Sweep(t.Context()))
	for range 2 {
		if plans, err := w.Plans("", 0); err != nil || len(plans) != 1 {
			t.Errorf("%+v %v", plans, err)
		}
		w.restart()
	}
}

// TestClockJumps: a clock that is far ahead for a moment, even often, leads one step on each
// time, as one day would; going back it allows nothing twice, and is not waited for.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "p", WarmUp: []int{10, 20, 40, 80}}, source.Addition{Address: "192.0.2.7", WarmUp: new(true)})
	for i, c := range []struct {
		jump     time.Duration
		ask, got int
	}{
		{0, 100, 10},
		{365 * day, 15, 15},
		{-365 * day, 100, 5},
		{-2 * day, 1, 0},
		{0, 1, 0},
		{3 * day, 100, 40}, // the day behind the first
		{-7 * day, 1, 0},
		{8 * day, 100, 80},
	} {
		w.pass(c.jump)
		if i%2 == 1 {
			w.restart()
		}
		if got := w.send("192.0.2.7", c.ask); got != c.got {
			t.Errorf("%d: %d of %d, want %d", i, got, c.ask, c.got)
		}
	}
}

// TestSweepWhileTheClockIsAhead: a year that is one only by the clock makes no address new.
func TestSweepWhileTheClockIsAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pool(source.Pool{Name: "p", WarmUp: []int{10, 20, 40}}, source.Addition{Address: "192.0.2.7", WarmUp: new(true)})
	w.send("192.0.2.7", 10)
	w.jump(365 * day)
	w.must(w.Sweep(t.Context()))
	w.jump(-365 * day)
	for range 2 {
		if got := w.send("192.0.2.7", 100); got != 0 {
			t.Errorf("%d more that day", got)
		}
		w.restart()
	}
	w.pass(day)
	if got := w.send("192.0.2.7", 100); got != 20 {
		t.Errorf("the next day allows %d, want 20", got)
	}
}

// TestMidnight: a message counts on the day on which it was begun. Those of the day before
// take nothing from this one, whether they are given back or recorded by now.
func TestMidnight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := netip.MustParseAddr("192.0.2.7")
	w.pool(source.Pool{Name: "p", WarmUp: []int{100}}, source.Addition{Address: addr.String(), WarmUp: new(true)})
	take := func(n, want int) (day int64) {
		t.Helper()
		room, day := w.Take(google, addr, n)
		if room != want {
			t.Errorf("room for %d, want %d", room, want)
		}
		return day
	}
	w.pass(16*time.Hour - time.Second)
	before := take(100, 100)
	w.pass(2 * time.Second)
	after := take(50, 50)
	w.GiveBack(google, addr, 50, before)
	take(100, 50)
	w.delivered(addr, 50) // of the day before
	take(1, 0)
	w.GiveBack(google, addr, 50, after)
	take(100, 50)
	w.delivered(addr, 100)
	take(1, 0)
}

// TestBackWhileUnderWay: what was begun while the clock was ahead is recorded as all else,
// and what of it was given back is at worst missing until midnight.
func TestBackWhileUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := netip.MustParseAddr("192.0.2.7")
	w.pool(source.Pool{Name: "p", WarmUp: []int{10}}, source.Addition{Address: addr.String(), WarmUp: new(true)})
	w.pass(10 * day)
	_, ahead := w.Take(google, addr, 8)
	w.pass(-10 * day)
	w.delivered(addr, 4)
	w.GiveBack(google, addr, 4, ahead)
	if got := w.send(addr.String(), 10); got != 2 {
		t.Errorf("%d, want 2", got)
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	last := 0
	for _, n := range source.DefaultWarmUp() {
		if n <= last || last > 0 && n > 2*last {
			t.Errorf("%d behind %d", n, last)
		}
		last = n
	}
	for _, text := range []string{"0", "-1", "x", "1.5", "1 2 x", strings.Repeat("1 ", 101)} {
		if _, err := source.ParseWarmUp(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
