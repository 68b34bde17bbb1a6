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
