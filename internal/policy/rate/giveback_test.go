package rate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// waiting submits a message that waits to so many of alice's recipients.
func (w *world) waiting(id mail.ID, n, first int) {
	w.t.Helper()
	var list []mail.Address
	for i := range n {
		list = append(list, to(first+i))
	}
	r, fault := w.begin(from(alice), list...)
	if fault != nil {
		w.t.Fatal(fault)
	}
	r.Waits(id)
	w.must(w.commit(r))
	r.Release()
}

func (w *world) giveBack(id mail.ID) {
	w.t.Helper()
	w.must(w.db.Write(context.Background(), func(tx *db.Tx) error { return w.GiveBack(tx, id) }))
}

// room is how many messages to known recipients alice may send now.
func (w *world) room() (n int) {
	w.t.Helper()
	for w.Check(context.Background(), from(alice), n+1) == nil && n < 100 {
		n++
	}
	return n
}

// TestGiveBack: what is taken back counts no more, in memory and after a start, once,
// and for no more than it was counted for.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		w := newWorld(t, map[string]int64{"recipients_per_hour": 10, "recipients_per_day": 10, "messages_per_day": 3})
		w.waiting(1, 4, 0)
		w.hands.pass(30 * time.Second)
		w.waiting(2, 5, 10)
		if n := w.room(); n != 1 {
			t.Fatalf("room for %d, want 1", n)
		}
		w.hands.pass(10 * time.Minute)
		if restart {
			w.restart()
		}
		errUndone := errors.New("undone")
		if err := w.db.Write(t.Context(), func(tx *db.Tx) error { return errors.Join(w.GiveBack(tx, 1), errUndone) }); !errors.Is(err, errUndone) || w.room() != 1 {
			t.Errorf("a commit that was not: %v, room for %d", err, w.room())
		}
		w.giveBack(1)
		w.giveBack(1)
		w.giveBack(3)
		if n := w.room(); n != 5 {
			t.Errorf("restart %v: room for %d, want 5", restart, n)
		}
		w.restart()
		if n := w.room(); n != 5 {
			t.Errorf("restart %v, and another: room for %d, want 5", restart, n)
		}
		w.giveBack(2)
		if got := w.sends(9); got != 3 {
			t.Errorf("%d messages are taken, want 3", got)
		}
	}
}

// TestGiveBackOfStrangers: who is written to, even in a message that is taken back, is
// known from then on, and so stays counted as new.
func TestGiveBackOfStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"new_recipients_per_day": 5})
	w.waiting(1, 5, 0)
	w.giveBack(1)
	if w.send(from(alice), to(7)) || !w.send(from(alice), to(3)) {
		t.Error("taking back makes room for strangers")
	}
}

// TestGiveBackTooLate: what has left the span by itself leaves it once.
func TestGiveBackTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"recipients_per_hour": 10})
	w.waiting(1, 4, 0)
	w.hands.pass(2 * time.Hour)
	w.waiting(2, 3, 0)
	w.giveBack(1)
	if n := w.room(); n != 7 {
		t.Errorf("room for %d, want 7", n)
	}
	w.hands.pass(72 * time.Hour)
	w.must(w.Sweep(t.Context()))
	rows := 0
	w.must(w.db.Read(t.Context(), func(tx *db.Tx) error { return tx.Row(db.SQL("SELECT count(*) FROM send_waiting"), nil, &rows) }))
	if rows != 0 {
		t.Errorf("%d rows stay", rows)
	}
}
