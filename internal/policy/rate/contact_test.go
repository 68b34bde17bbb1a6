package rate_test

import (
	"testing"
	"time"
)

// A clock that is wrong for a while makes neither counts nor contacts old.
func TestStepForwardForgetsNothing(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	w := newWorld(t, map[string]int64{"new_recipients_per_day": 2})
	if !w.send(from(alice), to(1), to(2)) {
		t.Fatal("two new addresses are put off")
	}
	w.hands.set(year)
	w.must(w.Sweep(t.Context()))
	if !w.send(from(alice), to(1)) || w.send(from(alice), to(3)) {
		t.Error("a year later by the wall clock, another address is known")
	}
	w.hands.set(-year)
	w.restart()
	w.must(w.Sweep(t.Context()))
	if !w.send(from(alice), to(2)) || w.send(from(alice), to(3)) {
		t.Error("after the clock was corrected, another address is known")
	}
}

// An address is new again by its age alone, whether or not its row is swept.
func TestKnownForThirtyDays(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		w := newWorld(t, map[string]int64{"new_recipients_per_day": 1})
		if !w.send(from(alice), to(1)) {
			t.Fatal("a new address is put off")
		}
		w.hands.pass(30 * 24 * time.Hour)
		if restarts {
			w.restart()
		}
		if !w.send(from(alice), to(1), to(2)) {
			t.Errorf("restarts %v: after 30 days it should be known", restarts)
		}
		w.hands.pass(31 * 24 * time.Hour)
		if restarts {
			w.restart()
		}
		if w.send(from(alice), to(1), to(2)) || !w.send(from(alice), to(1)) {
			t.Errorf("restarts %v: after 31 days both should be new", restarts)
		}
	}
}
