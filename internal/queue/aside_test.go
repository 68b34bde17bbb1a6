package queue

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestAsideSaysNothingOfTheSite: a message that waits for a reason of ours neither
// raises a site that is down nor widens what its provider bears; one that the site
// answered does both.
func TestAsideSaysNothingOfTheSite(t *testing.T) {
	t.Parallel()
	q := newWorld(t, nil).q
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, aside := range []bool{true, false} {
		w := &worker{q: q, s: &site{name: "far.test", down: &down{}}, p: &provider{name: "far.test", width: 2}}
		list := []Outcome{{Result: Refused, Code: 550, Enhanced: "5.1.1", Aside: aside}}
		w.judge(list)
		w.adapt(list)
		if down, same := w.s.down != nil, w.p.width == 2; down != aside || same != aside {
			t.Errorf("aside %v: still down %v, width %v", aside, down, w.p.width)
		}
	}
}

// TestARulingIsForItsMessage: what a rule of the operator makes final at the door ends the
// message that met it, and neither the site nor what waits for it.
func TestARulingIsForItsMessage(t *testing.T) {
	t.Parallel()
	q := newWorld(t, nil).q
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &worker{q: q, s: &site{name: "far.test"}, p: &provider{name: "far.test", width: 2}}
	w.judge([]Outcome{{Result: Refused, Code: 421, Enhanced: "4.7.0", Unreached: true}})
	if w.s.down != nil || w.lost {
		t.Errorf("the site is down: %+v", w.s.down)
	}
}

// TestRisenLeavesTheWarmUpAlone: a site that is back makes due what waits for it, not what
// waits for a source address of ours.
func TestRisenLeavesTheWarmUpAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const warm, far = "warm@far.test", "far@far.test"
		var mu sync.Mutex
		up, tried := false, map[string]int{}
		w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
			mu.Lock()
			defer mu.Unlock()
			now := micros()
			o := Outcome{Result: TryLater, Ours: true, Code: 451, Enhanced: "4.4.1", Unreached: true, Started: now, Ended: now}
			to := job.Recipients[0].Address.String()
			tried[to]++
			switch {
			case to == warm:
				o.Enhanced, o.Unreached, o.Aside, o.Again = "4.4.5", false, true, 6*time.Hour
			case up:
				o = Outcome{Result: Delivered, Code: 250, Started: now, Ended: now}
			}
			return all(job, o)
		}), func(s *Settings) { s.Concurrency, s.PerSite = 1, 1 })
		w.run()
		w.insert(w.message(warm))
		time.Sleep(time.Minute)
		w.insert(w.message(far))
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		up = true
		mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if s := w.stats(); s[Deferred] != 1 || tried[warm] != 1 {
			t.Errorf("states %v, tried %v: want one that waits, tried once", s, tried)
		}
	})
}

// TestAsideMailTriesNoSite: who came home, and waits for a reason of his own, is tried by his
// schedule and not as often as a site that is down, whether others wait for that or not.
func TestAsideMailTriesNoSite(t *testing.T) {
	t.Parallel()
	for _, others := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			const home = "home@far.test"
			var mu sync.Mutex
			came, tried := false, map[bool]int{}
			w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
				mu.Lock()
				defer mu.Unlock()
				now := micros()
				at := job.Recipients[0].Address.String() == home
				tried[at]++
				if at && came {
					return all(job, Outcome{Result: TryLater, Ours: true, Aside: true, Code: 452, Enhanced: "4.2.2", Reply: "Mailbox full", Started: now, Ended: now})
				}
				return all(job, Outcome{Result: TryLater, Ours: true, Unreached: true, Code: 451, Enhanced: "4.7.5", Reply: "no proof", Started: now, Ended: now})
			}))
			w.run()
			w.insert(w.message(home))
			w.fill(100*others, "far.test")
			time.Sleep(10 * time.Second)
			mu.Lock()
			came = true
			mu.Unlock()
			time.Sleep(6 * time.Hour)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if n := tried[true]; n < 2-others || n > 12 {
				t.Errorf("%d others: who came home is tried %d times", others, n)
			}
			if n := tried[false]; others > 0 && (n < 20 || n > 40) {
				t.Errorf("%d others: the site is tried %d times", others, n)
			}
			if _, down := w.q.Down("far.test"); down != (others > 0) {
				t.Errorf("%d others: down %v", others, down)
			}
		})
	}
}

// TestAProbeThatDidNotGetThere lets the site rest like one that found it down.
func TestAProbeThatDidNotGetThere(t *testing.T) {
	t.Parallel()
	q := newWorld(t, nil).q
	q.mu.Lock()
	defer q.mu.Unlock()
	d := &down{probes: 2, finding: Outcome{Result: TryLater, Code: 451, Ended: 1}}
	w := &worker{q: q, s: &site{name: "far.test", down: d}, p: &provider{name: "far.test", width: 2}}
	for range 2 { // the second was under way with it
		w.judge([]Outcome{{Result: TryLater, Code: 452, Enhanced: "4.2.2", Ours: true, Aside: true}})
		if rest := time.Duration(d.until-micros()) * time.Microsecond; d.probes != 3 || d.asked != d.until || rest < 100*time.Second || rest > 2*time.Minute {
			t.Errorf("%+v, for %v", d, rest)
		}
	}
}

// TestAProbeOfWhatWasTakenOver: where no attempt of this process has found the site down,
// there is nothing to answer its mail with, and only the probes wait.
func TestAProbeOfWhatWasTakenOver(t *testing.T) {
	t.Parallel()
	q := newWorld(t, nil).q
	q.mu.Lock()
	defer q.mu.Unlock()
	d := &down{since: micros(), finding: Outcome{Reply: "timed out"}}
	w := &worker{q: q, s: &site{name: "far.test", down: d}, p: &provider{name: "far.test", width: 2}}
	w.judge([]Outcome{{Result: TryLater, Code: 452, Enhanced: "4.2.2", Ours: true, Aside: true}})
	if rest := time.Duration(d.asked-micros()) * time.Microsecond; q.barred(w.s) || rest < 20*time.Second {
		t.Errorf("%+v, for %v", d, rest)
	}
	now := micros()
	w.judge([]Outcome{{Result: TryLater, Code: 451, Enhanced: "4.4.1", Ours: true, Unreached: true, Started: now, Ended: now}})
	if !q.barred(w.s) {
		t.Errorf("%+v", d)
	}
}

// TestWhoIsKeptByASite that is down: who has its finding, or one of its kind.
func TestWhoIsKeptByASite(t *testing.T) {
	t.Parallel()
	d := &Down{finding: Outcome{Code: 451, Enhanced: "4.7.5", Ours: true}}
	for _, c := range []struct {
		code     int
		enhanced string
		ours     bool
		want     bool
	}{
		{451, "4.7.5", true, true}, {451, "4.4.1", true, true}, {421, "4.7.0", false, true},
		{452, "4.2.2", true, false}, {451, "4.4.5", true, false}, {451, "4.7.5", false, false}, {450, "4.4.1", false, false},
	} {
		if got := d.Keeps(&Recipient{Code: c.code, Enhanced: c.enhanced, Ours: c.ours}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
