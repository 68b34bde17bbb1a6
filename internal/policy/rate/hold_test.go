package rate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// stopped tells whether an account may not send.
func (w *world) stopped(id mail.ID) bool {
	w.t.Helper()
	return !w.send(from(id), to(1))
}

// What was on its way in when the account was stopped is held as well, and what
// the operator lets go is usual from then on.
func TestHoldReachesWhatWasUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.running()
	w.burst(alice, 150, 1)
	slow, fault := w.begin(from(alice), to(1))
	if fault != nil {
		t.Fatal(fault)
	}
	w.fares(alice, 100, 50)
	w.eventually("the queue to be held", func() bool { return slices.Equal(w.took(), []string{"hold 1001"}) })
	if fault := slow.Recipient(t.Context(), to(2)); fault == nil {
		t.Error("a message under way takes more recipients")
	}
	w.must(w.commit(slow))
	w.eventually("the queue to be held once more", func() bool { return slices.Equal(w.took(), []string{"hold 1001", "hold 1001"}) })

	w.must(w.Unhold(t.Context(), alice))
	w.fares(alice, 100, 100)
	w.burst(bob, 150, 1)
	w.fares(bob, 50, 50)
	w.eventually("another account to be held", func() bool { return slices.Contains(w.took(), "hold 1002") })
	if w.stopped(alice) {
		t.Error("it is held again at once")
	}
	w.burst(alice, 1400, 1)
	w.fares(alice, 100, 100)
	w.eventually("ten times that to be too much", func() bool { return w.stopped(alice) })
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
		w.must(w.Sweep(t.Context())) // a day is learned from once
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
	w.running()
	w.burst(bob, 150, 1) // a stranger; alice sends as much and is known for it
	for _, id := range []mail.ID{alice, bob} {
		if id == alice {
			w.burst(alice, 150, 1)
		}
		w.fares(id, 100, 100)
	}
	w.eventually("the stranger to be held", func() bool { return slices.Contains(w.took(), "hold 1002") })
	if w.stopped(alice) {
		t.Error("who usually sends as much is held")
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
	w.burst(bob, 150, 1)
	next := &recorder{}
	o := w.Observer(next)
	tell := func(id mail.ID, n int, result queue.Result, expired bool) {
		reports := make([]queue.Report, n)
		for i := range reports {
			reports[i] = queue.Report{Message: &queue.Message{Account: id}, Outcome: queue.Outcome{Result: result}, Expired: expired}
		}
		w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return o.Attempted(tx, reports) }))
	}
	for _, id := range []mail.ID{0, alice, bob} {
		tell(id, 50, queue.TryLater, false)
		tell(id, 50, queue.Refused, true) // given up by us
		tell(id, 10, queue.Delivered, false)
		tell(id, 19, queue.Refused, false)
	}
	tell(bob, 1, queue.Refused, false)
	w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return o.Administered(tx, "held", make([]queue.Report, 2)) }))
	if next.reports != 3*129+3 {
		t.Errorf("%d reports passed on", next.reports)
	}
	w.running()
	w.eventually("the account to be held", func() bool { return slices.Equal(w.took(), []string{"hold 1002"}) })
	holds, err := w.Holds(t.Context())
	if err != nil || len(holds) != 1 || !strings.HasSuffix(holds[0].Reason, "20 of 30 results were refusals") {
		t.Errorf("held %+v, %v", holds, err)
	}
}
