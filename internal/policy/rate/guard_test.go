package rate_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
)

// running runs the limiter until the test ends.
func (w *world) running() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	l := w.Limiter
	go func() {
		defer close(ended)
		l.Run(ctx)
	}()
	w.t.Cleanup(func() { stop(); <-ended })
}

// fares tells of n results, of which some were refusals: the last ones, so that who
// looks in between never sees a larger share of them.
func (w *world) fares(id mail.ID, n, refused int) {
	for i := range n {
		w.Observe(id, i >= n-refused)
	}
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	testkit.Eventually(w.t, 10*time.Second, what, ok)
}

// TestGuard: who suddenly sends far more than usual, and is refused a lot, is
// stopped with all that waits, until the operator lets him go on.
func TestGuard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		days            int // of ten messages to ten recipients each in an hour before
		messages, each  int
		results, failed int
		held            bool
		later           time.Duration // the results come
	}{
		"sudden, and refused a lot":       {3, 101, 1, 100, 20, true, 0},
		"to many at once":                 {3, 2, 251, 100, 20, true, 0},
		"sudden, from one who was silent": {0, 101, 1, 20, 20, true, 0},
		"sudden, and all arrives":         {3, 300, 1, 300, 5, false, 0},
		"sudden, and little is refused":   {3, 300, 1, 300, 59, false, 0},
		"as usual, and refused a lot":     {3, 100, 1, 100, 100, false, 0},
		"released long after":             {3, 600, 1, 600, 120, true, 3 * time.Hour}, // RFC 4865
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			for range c.days {
				w.burst(alice, 10, 1)
				w.hands.pass(24 * time.Hour)
			}
			w.running()
			w.burst(alice, c.messages, c.each)
			w.hands.pass(c.later)
			w.fares(alice, c.results, c.failed)
			if !c.held {
				// Whoever is held behind it shows that it was looked at.
				w.burst(bob, 101, 1)
				w.fares(bob, 50, 50)
				w.eventually("another account to be held", func() bool { return len(w.took()) > 0 })
				if holds, err := w.Holds(t.Context()); err != nil || len(holds) != 1 || holds[0].Account != bob || !w.send(from(alice), to(1)) {
					t.Errorf("held: %v, %v", holds, err)
				}
				return
			}
			w.eventually("the queue to be held", func() bool { return slices.Equal(w.took(), []string{"hold 1001"}) })
			_, fault := w.Begin(t.Context(), from(alice))
			if fault == nil || fault.Code() != 450 || fault.Enhanced() != "4.7.1" {
				t.Errorf("said %v", fault)
			}
			if !w.send(from(bob), to(1)) {
				t.Error("another account is stopped as well")
			}
			holds, err := w.Holds(t.Context())
			if err != nil || len(holds) != 1 || holds[0].Account != alice || !strings.Contains(holds[0].Reason, "messages to") {
				t.Errorf("holds %+v, %v", holds, err)
			}
			w.restart()
			if w.send(from(alice), to(1)) {
				t.Error("a restart lets it go on")
			}
			w.must(w.Unhold(t.Context(), alice))
			if !w.send(from(alice), to(1)) {
				t.Error("it is released and may not send")
			}
			if got := w.took(); !slices.Equal(got, []string{"hold 1001", "release 1001"}) {
				t.Errorf("the queue: %v", got)
			}
			if err := w.Unhold(t.Context(), alice); err == nil {
				t.Error("it was released twice")
			}
		})
	}
}

// TestReleasedLate: what waits while an account is held may go on, and be refused, when
// it is released, however long that took and however little it has sent since.
func TestReleasedLate(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{time.Minute, 3 * time.Hour, 64 * time.Hour} {
		w := newWorld(t, nil)
		w.burst(alice, 10, 1)
		w.hands.pass(24 * time.Hour)
		w.running()
		w.burst(alice, 2000, 1)
		w.fares(alice, 100, 50)
		w.eventually("the queue to be held", func() bool { return len(w.took()) == 1 })
		w.mu.Lock()
		w.queued = 1900
		w.mu.Unlock()
		w.hands.pass(later)
		w.must(w.Unhold(t.Context(), alice))
		w.fares(alice, 1900, 700)
		w.burst(bob, 101, 1) // who is held behind it shows that it was looked at
		w.fares(bob, 50, 50)
		w.eventually("another account to be held", func() bool { return len(w.took()) == 3 })
		if got := w.took(); !slices.Equal(got, []string{"hold 1001", "release 1001", "hold 1002"}) {
			t.Errorf("after %s: %v", later, got)
		}
	}
}

// TestHoldIsFinished: a process that ends between stopping an account and holding
// its queue leaves that to the next one.
func TestHoldIsFinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.mu.Lock()
	w.broken = errBroken
	w.mu.Unlock()
	w.running()
	w.burst(alice, 101, 1)
	w.fares(alice, 50, 50)
	w.eventually("the account to be held", func() bool {
		holds, err := w.Holds(t.Context())
		return err == nil && len(holds) == 1
	})
	w.mu.Lock()
	w.broken = nil
	w.mu.Unlock()
	w.restart()
	w.running()
	w.eventually("the queue to be held", func() bool { return slices.Contains(w.took(), "hold 1001") })
}
