package rate_test

import (
	"context"
	"testing"
	"time"
)

func TestRestartKeepsTheCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_minute": 3, "messages_per_day": 5})
	w.sends(9)
	w.hands.pass(20 * time.Second)
	w.restart()
	if got := w.sends(9); got != 0 {
		t.Errorf("%d taken within the minute", got)
	}
	// What was sent in a minute counts from its end after a restart.
	w.hands.pass(106 * time.Second)
	if got := w.sends(9); got != 2 {
		t.Errorf("%d taken a minute later, want 2", got)
	}
	for range 23 {
		w.hands.pass(time.Hour)
		w.restart()
		w.must(w.Sweep(t.Context()))
		if got := w.sends(1); got != 0 {
			t.Fatal("the day's limit is forgotten")
		}
	}
	w.hands.pass(3 * time.Hour)
	w.restart()
	if got := w.sends(9); got != 3 {
		t.Errorf("%d taken a day later, want 3", got)
	}
}

// TestClockSteps sets the clock while the server runs, while it is stopped, or
// both: nobody starts anew, and nobody waits for longer than the span.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	steps := map[string]time.Duration{"an hour back": -time.Hour, "a day back": -24 * time.Hour, "a year back": -year, "a year on": year}
	for name, step := range steps {
		t.Run(name+" while it runs", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int64{"messages_per_day": 3, "new_recipients_per_day": 3})
			w.sends(3)
			w.hands.set(step)
			w.must(w.Sweep(t.Context()))
			w.expectADay()
		})
		t.Run(name+" for a while", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int64{"messages_per_day": 3})
			w.hands.set(step)
			w.sends(3)
			w.must(w.Sweep(t.Context()))
			w.hands.set(-step)
			w.must(w.Sweep(t.Context()))
			w.expectADay()
		})
		if step > 0 {
			continue // looks like a long rest
		}
		t.Run(name+" while it is stopped", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int64{"messages_per_day": 3})
			w.sends(3)
			w.hands.set(step)
			w.restart()
			w.must(w.Sweep(t.Context()))
			w.expectADay()
		})
		t.Run(name+" and restarted", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]int64{"messages_per_day": 3})
			w.hands.set(-step) // it was wrong, and is corrected
			w.sends(3)
			w.hands.set(step)
			w.restart()
			w.expectADay()
		})
	}
}

// expectADay finds the limit of 3 reached, until a day and a slot have passed.
func (w *world) expectADay() {
	w.t.Helper()
	for range 4 {
		if w.send(from(alice), to(0)) {
			w.t.Fatal("the count is forgotten")
		}
		w.hands.pass(5*time.Hour + 40*time.Minute)
		w.must(w.Sweep(context.Background()))
	}
	w.hands.pass(3 * time.Hour)
	if got := w.sends(9); got != 3 {
		w.t.Errorf("%d taken after a day, want 3", got)
	}
}

// Who rests for days is forgotten in memory; what he sends is counted as before.
func TestForgottenInMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_day": 3})
	w.sends(3)
	w.hands.set(-48 * time.Hour) // rows of this run now look like those of the one before
	w.sends(1)
	w.hands.pass(60 * time.Hour)
	w.must(w.Sweep(t.Context()))
	if got := w.sends(5); got != 3 {
		t.Errorf("%d taken after days of rest, want 3", got)
	}
}
