package rate_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

func (w *world) erase(id mail.ID) {
	w.t.Helper()
	w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error { return w.Erase(tx, id) }))
}

// left is how many rows of an account each table has that has any.
func (w *world) left(id mail.ID) string {
	w.t.Helper()
	out := map[string]int{}
	for table, where := range map[string]string{
		"send_count": "kind = 1 AND subject = ?", "send_limit": "kind = 1 AND subject = ?", "send_waiting": "kind = 1 AND subject = ?",
		"send_contact": "account = ?", "send_usual": "account = ?", "send_hold": "account = ?", "send_erased": "account = ?",
	} {
		arg := any(id)
		if where[0] == 'k' {
			arg = id.String()
		}
		var n int
		w.must(w.db.Read(w.t.Context(), func(tx *db.Tx) error {
			return tx.Row(db.SQL("SELECT count(*) FROM "+table+" WHERE "+where), []any{arg}, &n)
		}))
		if n > 0 {
			out[table] = n
		}
	}
	return fmt.Sprint(out)
}

func TestEraseTakesWhatWasDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.must(w.SetLimits(t.Context(), rate.ForAccount(alice), map[string]int64{"messages_per_day": 1}))
	w.must(w.SetLimits(t.Context(), rate.ForAccount(bob), map[string]int64{"messages_per_day": 1}))
	w.erase(alice)
	if got := w.sends(3); got != 3 {
		t.Errorf("%d taken", got)
	}
	if !w.send(from(bob)) || w.send(from(bob)) {
		t.Error("another account's limit went with it")
	}
}

// TestErase: nothing is left of an account that ends, by whichever run it is taken away,
// and others keep theirs.
func TestErase(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		w := newWorld(t, map[string]int64{"new_recipients_per_day": 1000})
		for _, id := range []mail.ID{alice, bob} {
			w.must(w.SetLimits(t.Context(), rate.ForAccount(id), map[string]int64{"messages_per_day": 1000}))
			w.burst(id, 101, 2)
			w.fares(id, 50, 50)
		}
		w.running()
		w.eventually("both to be held", func() bool { return len(w.took()) == 2 })
		w.must(w.Unhold(t.Context(), alice))
		w.hands.pass(24 * time.Hour)
		w.must(w.Sweep(t.Context()))
		domain := domainOf(t, "e.test")
		r, fault := w.begin(rate.Sender{Account: alice, Domain: domain}, to(1), to(2), to(3))
		if fault != nil {
			t.Fatal(fault)
		}
		r.Waits(77)
		w.must(w.commit(r))
		if got := w.left(alice); got != "map[send_contact:4 send_count:2 send_limit:1 send_usual:1 send_waiting:1]" {
			t.Fatalf("before: %s", got)
		}
		if restart { // the command line ends it while no server runs
			w.restart()
			w.erase(alice)
			w.restart()
			w.running()
		} else {
			w.erase(alice)
		}
		w.eventually("its rows to go", func() bool { return w.left(alice) == "map[send_erased:1]" })
		if got := w.left(bob); got != "map[send_contact:2 send_count:1 send_hold:1 send_limit:1 send_usual:1]" {
			t.Errorf("of another one there is %s", got)
		}
		before := w.usedOf(rate.ForDomain(domain), "recipients_per_day")
		w.giveBack(77)
		if after := w.usedOf(rate.ForDomain(domain), "recipients_per_day"); before != 3 || after != 0 {
			t.Errorf("of its domain %d were counted, and %d once the message was taken back", before, after)
		}
	}
}

// TestEraseAndMailUnderWay: what is accepted of an account that has ended meanwhile goes
// as well, and nothing is learnt from it.
func TestEraseAndMailUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"new_recipients_per_day": 1000})
	r, fault := w.begin(from(alice), to(1))
	if fault != nil {
		t.Fatal(fault)
	}
	w.erase(alice)
	w.must(w.Sweep(t.Context()))
	w.must(w.commit(r))
	if got := w.left(alice); got != "map[send_contact:1 send_count:1 send_erased:1]" {
		t.Errorf("at once there is %s", got)
	}
	w.hands.pass(24 * time.Hour)
	w.must(w.Sweep(t.Context()))
	if got := w.left(alice); got != "map[send_erased:1]" {
		t.Errorf("a day later there is %s", got)
	}
	w.hands.pass(26 * time.Hour)
	w.must(w.Sweep(t.Context()))
	if got := w.left(alice); got != "map[]" {
		t.Errorf("two days later there is %s", got)
	}
}

// TestEraseOfMany: many accounts go, and all that one of them has.
func TestEraseOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	const first, many = mail.ID(5000), 450
	var contacts, usual [][]any
	for i := range many {
		id := first + mail.ID(i)
		usual = append(usual, []any{id, 1, 1, 1, 1})
		for n := range 1 + 2500*max(0, i-many+2) { // the last of them has written to 2,501
			contacts = append(contacts, []any{id, n, 1 << 40})
		}
	}
	w.must(w.db.Write(t.Context(), func(tx *db.Tx) error {
		return errors.Join(tx.Insert(db.Insert{Into: "send_contact", Columns: []string{"account", "hash", "day"}}, contacts...),
			tx.Insert(db.Insert{Into: "send_usual", Columns: []string{"account", "day", "days", "messages", "recipients"}}, usual...))
	}))
	w.must(w.db.Write(t.Context(), func(tx *db.Tx) (err error) {
		for i := range many {
			err = errors.Join(err, w.Erase(tx, first+mail.ID(i)))
		}
		return err
	}))
	w.must(w.Sweep(t.Context()))
	for i := range many {
		if got := w.left(first + mail.ID(i)); got != "map[send_erased:1]" {
			t.Errorf("account %d: %s", i, got)
		}
	}
}
