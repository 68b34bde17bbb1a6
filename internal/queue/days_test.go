package queue

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestDaysOfRetries lets the clock of a bubble run through the whole life of a
// message that nobody takes.
func TestDaysOfRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var tried []time.Duration
		w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
			tried = append(tried, time.Since(start))
			return all(job, Outcome{Result: TryLater, Code: 451, Reply: "not today", Host: "mx.test"})
		}), func(s *Settings) {
			s.Retry, s.Lifetime = []time.Duration{5 * time.Minute, 15 * time.Minute, 4 * time.Hour}, 13*time.Hour
		})
		stop := w.run()
		w.insert(w.message("a@x.test"))
		<-w.q.FailedWake()
		// Each wait is longer by up to a tenth; the last attempt is at the end.
		wait := w.set.Retry
		for i, least := range []time.Duration{wait[0], wait[1], wait[2], wait[2]} {
			if d := tried[i+1] - tried[i]; d < least || d > least+least/10+time.Second {
				t.Errorf("attempt %d: %v after the one before, want about %v", i+2, d, least)
			}
		}
		if n := len(tried); n < 6 || n > 7 || tried[n-1].Round(time.Minute) != 13*time.Hour {
			t.Errorf("tried at %v", tried)
		}
		failed, err := w.q.Failed(t.Context(), 0, 10)
		w.must(err)
		if len(failed) != 1 || !failed[0].Recipients[0].Expired || failed[0].Recipients[0].Reply != "not today" {
			t.Errorf("failed %+v", failed)
		}
		stop()
	})
}

// TestALongOutageExpiresNothing: a server that was off for longer than the
// lifetime tries once more.
func TestALongOutageExpiresNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, always(delivered))
		w.insert(w.message("a@x.test"))
		<-time.After(30 * 24 * time.Hour)
		stop := w.run()
		w.eventually("an empty queue", w.empty)
		if w.obs.count("delivered gone") != 1 {
			t.Errorf("events %v", w.obs.seen())
		}
		stop()
	})
}

// TestAnOutageOfManySites: the wait of a site does not hold others up, and what
// comes due later than an earlier wake-up is found.
func TestAnOutageOfManySites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(7 * time.Hour)
		w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
			if time.Now().Before(back) {
				return all(job, Outcome{Result: TryLater, Code: 451})
			}
			return all(job, delivered)
		}))
		stop := w.run()
		for i := range 60 {
			w.insert(w.message(fmt.Sprintf("a@d%d.test", i%20)))
			<-time.After(3 * time.Minute)
		}
		w.eventually("some deferred", func() bool { return w.stats()[Deferred] == 60 })
		<-time.After(8 * time.Hour)
		w.eventually("an empty queue", w.empty)
		stop()
	})
}
