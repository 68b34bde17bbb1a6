package queue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// listener is a Deliverer that hears whether more is to come.
type listener struct{ more chan bool }

func (l listener) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	for job := next(); job != nil; job = next() {
		l.more <- job.More
		now := micros()
		done(job, all(job, Outcome{Result: Delivered, Code: 250, Started: now, Ended: now}))
	}
}

// TestMore: a job tells whether others wait for the same site.
func TestMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := listener{make(chan bool, 10)}
		w := newBubble(t, l, func(s *Settings) { s.PerSite = 1 })
		w.insert(w.message("a@far.test"), w.message("b@far.test"), w.message("c@far.test"), w.message("a@near.test"))
		w.run()
		time.Sleep(time.Second)
		synctest.Wait()
		close(l.more)
		n := map[bool]int{}
		for more := range l.more {
			n[more]++
		}
		if n[true] != 2 || n[false] != 2 {
			t.Errorf("of three messages to one site and one to another %d said that more wait, %d that none do", n[true], n[false])
		}
	})
}
