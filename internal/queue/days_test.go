package queue

import (
	"context"
	"fmt"
	"slices"
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
			tried = append(tried, time.Since(start).Round(time.Minute))
			return all(job, Outcome{Result: TryLater, Code: 451, Reply: "not today", Host: "mx.test"})
		}), func(s *Settings) {
			s.Retry, s.Lifetime = []time.Duration{5 * time.Minute, 15 * time.Minute, 4 * time.Hour}, 13*time.Hour
		})
		stop := w.run()
		w.insert(w.message("a@x.test"))
		<-w.q.FailedWake()
		want := []time.Duration{0, 5 * time.Minute, 20 * time.Minute, 4*time.Hour + 20*time.Minute, 8*time.Hour + 20*time.Minute, 12*time.Hour + 20*time.Minute, 13 * time.Hour}
		if !slices.Equal(tried, want) {
			t.Errorf("tried at %v, want %v", tried, want)
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
