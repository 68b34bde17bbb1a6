package queue

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const aMonth = 30 * 24 * time.Hour

// TestLeaps: what was accepted before the clock was set ahead has not waited for so long, and
// what was accepted since has.
func TestLeaps(t *testing.T) {
	t.Parallel()
	const start = 1_000_000_000_000
	wall, steady := int64(start), time.Duration(0)
	l := &leaps{wall: wall}
	for i, c := range []struct {
		wall, steady time.Duration // by how much they go on
		ahead        time.Duration
		first, later time.Duration // not passed since the start, and since a month later
	}{
		{wall: time.Minute, steady: time.Minute},
		{wall: time.Minute, steady: time.Second}, // a small step
		{wall: aMonth, steady: time.Second, ahead: aMonth - time.Second, first: aMonth - time.Second},
		{wall: time.Hour, steady: time.Hour, first: aMonth - time.Second},
		{wall: 8 * time.Hour, steady: time.Second, ahead: 8*time.Hour - time.Second, first: aMonth + 8*time.Hour - 2*time.Second, later: 8*time.Hour - time.Second},
		{wall: -7 * time.Hour, steady: time.Second, first: aMonth + time.Hour - 3*time.Second, later: time.Hour - 2*time.Second},
		{wall: -time.Hour - 24*time.Hour, steady: time.Second, first: aMonth - 24*time.Hour - 4*time.Second},
		{wall: -aMonth, steady: time.Second},
		{wall: time.Hour, steady: time.Hour},
	} {
		wall, steady = wall+c.wall.Microseconds(), steady+c.steady
		if got := l.note(wall, steady); got != c.ahead {
			t.Errorf("%d: ahead by %v, want %v", i, got, c.ahead)
		}
		for then, want := range map[int64]time.Duration{start: c.first, start + aMonth.Microseconds(): c.later} {
			if got := time.Duration(l.since(then)) * time.Microsecond; got != want {
				t.Errorf("%d: since %d %v have not passed, want %v", i, then, got, want)
			}
		}
	}
	for range 3 * maxLeaps {
		wall += time.Hour.Microseconds()
		l.note(wall, steady)
	}
	if n := len(l.list); n != maxLeaps {
		t.Errorf("%d leaps are remembered", n)
	}
}

// TestClockSetAhead: a clock that jumps by a month does not return all that waits, but what is
// to go back by a time, and what has waited for long enough since.
func TestClockSetAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, always(Outcome{Result: TryLater, Code: 451, Reply: "not now"}))
		w.q.leaps.wall -= aMonth.Microseconds() // as it was when this process began
		waits, due, over := w.message("waits@x.test"), w.message("due@y.test"), w.message("over@z.test")
		for _, m := range []*Message{waits, due} {
			m.Received -= (aMonth + time.Hour).Microseconds()
		}
		due.By.At, due.By.Return = due.Received+2*time.Hour.Microseconds(), true
		over.Received -= (w.set.Lifetime + time.Hour).Microseconds() // since the clock was set ahead
		w.insert(waits, due, over)
		stop := w.run()
		synctest.Wait()
		got := w.obs.seen()
		slices.Sort(got)
		if want := []string{"due@y.test deferred failed expired", "over@z.test deferred failed expired", "waits@x.test deferred deferred"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		stop()
	})
}
