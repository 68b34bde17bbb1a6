package rate_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/queue"
)

// patience is how long what has to happen may take.
const patience = 20 * time.Second

// run runs the guard; the function stops it.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	return func() { cancel(); <-done }
}

func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	over := time.After(patience)
	for !holds() {
		select {
		case <-over:
			w.t.Fatalf("not within %v: %s", patience, what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (w *world) observe(id mail.ID, delivered, refused int) {
	for range delivered {
		w.Observe(id, false)
	}
	for range refused {
		w.Observe(id, true)
	}
}

func (w *world) held() (list []string) {
	w.t.Helper()
	holds, err := w.Holds(context.Background())
	w.must(err)
	for _, h := range holds {
		list = append(list, h.Reason)
	}
	return list
}

func TestGuardCases(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name               string
		usual              int // messages in the best hour of the days before
		sent, each         int // messages now, and their recipients
		delivered, refused int
		want               bool
	}{
		{"a stranger who sends 101 and is refused", 0, 101, 1, 80, 21, true},
		{"ten times the floor is not more than that", 0, 100, 1, 79, 21, false},
		{"501 recipients of few messages", 0, 3, 167, 400, 101, true},
		{"500 recipients are not more than ten times the floor", 0, 5, 100, 400, 100, false},
		{"much that arrives", 0, 300, 1, 300, 0, false},
		{"nineteen refusals", 0, 101, 1, 0, 19, false},
		{"twenty refusals", 0, 101, 1, 0, 20, true},
		{"less than a fifth", 0, 200, 1, 161, 39, false},
		{"a fifth", 0, 200, 1, 160, 40, true},
		{"a busy account on a bad day", 30, 300, 1, 100, 200, false},
		{"a busy account beyond ten times", 30, 301, 1, 100, 200, true},
		{"a small account just as before", 5, 60, 1, 0, 60, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			if row.usual > 0 {
				for range 20 {
					w.burst(alice, row.usual, 1)
					w.hands.pass(24 * time.Hour)
					w.must(w.Sweep(t.Context()))
				}
			}
			w.burst(alice, row.sent, row.each)
			w.observe(alice, row.delivered, row.refused)
			w.observe(bob, 0, 100)
			w.must(w.Guard(t.Context()))
			if got := w.held(); (len(got) > 0) != row.want {
				t.Errorf("held: %q", got)
			}
			if sends := w.send(from(alice), to(1)); sends == row.want {
				t.Errorf("sends on: %v", sends)
			}
			if !w.send(from(bob), to(1)) {
				t.Error("another account is held")
			}
		})
	}
}

func TestHeldUntilReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	stop := w.run()
	w.burst(alice, 150, 1)
	slow, fault := w.begin(from(alice), to(1))
	if fault != nil {
		t.Fatal(fault)
	}
	w.observe(alice, 50, 50)
	w.eventually("the queue is held", func() bool { return slices.Equal(w.took(), []string{"hold 1001"}) })
	if _, fault := w.begin(from(alice)); fault == nil || fault.Code() != 450 || fault.Enhanced() != "4.7.1" || !strings.Contains(fault.Public, "ask your postmaster") {
		t.Errorf("said %v", fault)
	}
	if fault := slow.Recipient(t.Context(), to(2)); fault == nil {
		t.Error("a message under way takes more recipients")
	}
	if got := w.held(); len(got) != 1 || got[0] != "150 messages to 150 recipients within an hour, where 0 to 0 are usual; 50 of 100 results were refusals" {
		t.Errorf("reasons %q", got)
	}
	// What was under way when the account was stopped is held as well.
	w.must(w.commit(slow))
	w.eventually("the queue is held again", func() bool { return len(w.took()) == 2 })

	stop()
	w.restart()
	stop = w.run()
	if w.send(from(alice), to(1)) {
		t.Error("a restart released it")
	}
	w.must(w.Unhold(t.Context(), alice))
	if got := w.took(); !slices.Equal(got, []string{"hold 1001", "hold 1001", "release 1001"}) {
		t.Errorf("hooks %q", got)
	}
	if len(w.held()) != 0 || !w.send(from(alice), to(1)) {
		t.Error("still held")
	}
	if err := w.Unhold(t.Context(), alice); err == nil || err.Error() != rate.ErrNotHeld.Error() {
		t.Errorf("released twice: %v", err)
	}
	// What the operator has seen and let pass is usual now.
	w.observe(alice, 0, 100)
	stop()
	w.must(w.Guard(t.Context()))
	if len(w.held()) != 0 {
		t.Error("held again at once")
	}
}

func TestHoldOutlivesFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.burst(alice, 150, 1)
	w.observe(alice, 0, 50)
	w.db.(*breakable).broken.Store(true)
	if err := w.Guard(t.Context()); err == nil {
		t.Error("no row, and no error")
	}
	w.db.(*breakable).broken.Store(false)
	if w.send(from(alice), to(1)) {
		t.Error("not stopped at once")
	}
	w.mu.Lock()
	w.broken = errBroken
	w.mu.Unlock()
	if err := w.Guard(t.Context()); err == nil || len(w.held()) != 1 {
		t.Errorf("a hook that fails: %v, held %q", err, w.held())
	}
	w.mu.Lock()
	w.broken = nil
	w.mu.Unlock()
	w.restart() // it was killed before its queue was held
	w.must(w.Guard(t.Context()))
	w.must(w.Guard(t.Context()))
	if got := w.took(); !slices.Equal(got, []string{"hold 1001"}) {
		t.Errorf("hooks %q", got)
	}
	w.mu.Lock()
	w.broken = errBroken
	w.mu.Unlock()
	if err := w.Unhold(t.Context(), alice); err == nil || !strings.Contains(err.Error(), "hayauma queue release") {
		t.Errorf("a queue that stays held: %v", err)
	}
	if !w.send(from(alice), to(1)) {
		t.Error("still held")
	}
}

func TestUsualIsLearned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 3 {
		w.burst(alice, 10, 2)
		w.hands.pass(time.Hour)
		w.burst(alice, 40, 2)
		w.hands.pass(23 * time.Hour)
		w.restart()
		w.must(w.Sweep(t.Context()))
		w.must(w.Sweep(t.Context()))
	}
	var days, messages, recipients, rows int
	w.must(w.db.Read(t.Context(), func(tx *db.Tx) error {
		if err := tx.Row(db.SQL("SELECT count(*) FROM send_count"), nil, &rows); err != nil {
			return err
		}
		return tx.Row(db.SQL("SELECT days, messages, recipients FROM send_usual WHERE account = 1001"), nil, &days, &messages, &recipients)
	}))
	if days != 3 || messages != 40_000 || recipients != 80_000 {
		t.Errorf("%d days of %d, %d", days, messages, recipients)
	}
	if rows != 4 {
		t.Errorf("%d rows of counts are kept, want those of two days", rows)
	}
}

// recorder is the observer behind ours.
type recorder struct{ reports int }

func (r *recorder) Attempted(_ *db.Tx, reports []queue.Report) error {
	r.reports += len(reports)
	return nil
}

func (r *recorder) Administered(_ *db.Tx, _ string, reports []queue.Report) error {
	r.reports += len(reports)
	return nil
}

func TestObserver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.burst(alice, 150, 1)
	next := &recorder{}
	o := w.Observer(next)
	tell := func(n int, result queue.Result, expired bool) {
		m := &queue.Message{Account: alice}
		reports := make([]queue.Report, n)
		for i := range reports {
			reports[i] = queue.Report{Message: m, Outcome: queue.Outcome{Result: result}, Expired: expired}
		}
		w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return o.Attempted(tx, reports) }))
	}
	tell(50, queue.TryLater, false)
	tell(50, queue.Refused, true) // given up by us
	tell(10, queue.Delivered, false)
	tell(19, queue.Refused, false)
	w.must(w.Guard(t.Context()))
	if len(w.held()) != 0 {
		t.Fatal("held by what is no refusal")
	}
	tell(1, queue.Refused, false)
	w.must(w.Guard(t.Context()))
	if got := w.held(); len(got) != 1 || !strings.HasSuffix(got[0], "20 of 30 results were refusals") {
		t.Errorf("held %q", got)
	}
	w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return o.Administered(tx, "held", make([]queue.Report, 2)) }))
	if next.reports != 132 {
		t.Errorf("%d reports passed on", next.reports)
	}
}
