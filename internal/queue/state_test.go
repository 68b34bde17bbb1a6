package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// TestArrows takes a recipient in each state to every mover and compares where
// it went with the table.
func TestArrows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	seen := map[arrow]bool{}
	put := func(s State) mail.ID {
		m := w.message("a@x.test")
		w.insert(m)
		id := m.Recipients[0].ID
		owner := mail.ID(0)
		if s == Leased {
			owner = w.q.owner
		}
		w.exec("UPDATE queue_recipient SET state = ?, owner = ? WHERE id = ?", int(s), int64(owner), int64(id))
		return id
	}
	state := func(id mail.ID) State {
		m, err := w.q.Show(t.Context(), id)
		if err != nil {
			return gone
		}
		return m.Recipients[0].State
	}
	move := func(from State, by mover, name string, do func(id mail.ID)) {
		id := put(from)
		do(id)
		to := state(id)
		w.exec("DELETE FROM queue_recipient")
		w.exec("DELETE FROM queue_message")
		if to == from {
			return
		}
		if !may(from, to, by) {
			t.Errorf("%s led from %v to %v", name, from, to)
		}
		seen[arrow{from, to, by}] = true
	}
	type verbFunc = func(context.Context, Filter) (Touched, error)
	for from := Queued; from <= Served; from++ {
		for name, verb := range map[string]verbFunc{"retry": w.q.Retry, "hold": w.q.Hold, "release": w.q.Release, "bounce": w.q.Bounce, "delete": w.q.Delete} {
			move(from, byAdmin, name, func(id mail.ID) {
				if _, err := verb(t.Context(), Filter{IDs: []mail.ID{id}}); err != nil {
					t.Error(err)
				}
			})
		}
		move(from, byClaim, "claim", func(id mail.ID) { w.must(w.q.claim(t.Context(), []int64{int64(id)})) })
		move(from, bySettle, "settle", func(id mail.ID) {
			err := w.db.Write(t.Context(), func(tx *db.Tx) error { return w.q.Settle(tx, []mail.ID{id}) })
			if !errors.Is(err, ErrNotFound) { // there is no report on the others
				w.must(err)
			}
		})
		for wished := wish(0); wished <= lastWish; wished++ {
			wishing := func(id mail.ID) {
				w.exec("UPDATE queue_recipient SET wish = ? WHERE id = ?", int(wished), int64(id))
			}
			move(from, byRecover, "recover", func(id mail.ID) {
				wishing(id)
				w.exec("UPDATE queue_recipient SET owner = 5 WHERE state = 2")
				_, err := w.q.Recover(t.Context())
				w.must(err)
			})
			for result := Result(0); result <= CutOff+1; result++ {
				for _, age := range []time.Duration{0, 48 * time.Hour} {
					notify := mail.Notify(0)
					if age > 0 {
						notify = mail.NotifySuccess
					}
					move(from, byResult, "result", func(id mail.ID) {
						m, err := w.q.Show(t.Context(), id)
						w.must(err)
						wishing(id)
						r := m.Recipients[0]
						r.Notify = notify
						m.Expires -= age.Microseconds()
						w.must(w.q.write(t.Context(), []*item{{lease: &lease{job: Job{Message: m}}, r: r, outcome: Outcome{Recipient: id, Result: result}}}))
					})
				}
			}
		}
	}
	for a := range arrows {
		if a.by != byAccept && !seen[a] {
			t.Errorf("nothing leads from %v to %v by %d", a.from, a.to, a.by)
		}
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	const minute = 60_000_000
	schedule := []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}
	for _, c := range []struct {
		now, expires int64
		attempts     int
		schedule     []time.Duration
		want         int64
	}{
		{0, 1000 * minute, 1, schedule, 5 * minute},
		{0, 1000 * minute, 2, schedule, 15 * minute},
		{0, 1000 * minute, 3, schedule, 60 * minute},
		{0, 1000 * minute, 99, schedule, 60 * minute},
		{0, 1000 * minute, 0, schedule, 5 * minute},
		{7 * minute, 1000 * minute, 1, schedule, 12 * minute},
		{990 * minute, 1000 * minute, 3, schedule, 1000 * minute},  // the last attempt is at the end of the lifetime
		{1000 * minute, 1000 * minute, 3, schedule, 1060 * minute}, // beyond it: whoever asks anyway
		{0, 1000 * minute, 1, nil, minute},
		{0, 1000 * minute, 1, []time.Duration{0}, minute / 60},
	} {
		if got := next(c.now, c.expires, wait(c.attempts, c.schedule)); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

func TestApplyKeepsTheRemotesWords(t *testing.T) {
	t.Parallel()
	c := circumstances{now: 100, expires: 50, settings: defaults()}
	o := Outcome{Result: TryLater, Code: 451, Enhanced: "4.2.0", Reply: "their words", Host: "mx"}
	v := apply(Recipient{State: Leased, Attempts: 3}, o, c)
	if r := v.r; r.State != Failed || !r.Expired || !v.expired || r.Attempts != 4 || r.Reply != "their words" || r.Ours || r.Host != "mx" {
		t.Errorf("%+v", v)
	}
	// The remote's wish goes before the schedule, but not beyond the lifetime.
	c.expires = 1000 * 60_000_000
	o.Again = 7 * time.Minute
	if v = apply(Recipient{State: Leased}, o, c); v.r.State != Deferred || v.r.Next != c.now+7*60_000_000 {
		t.Errorf("asked to come back in seven minutes: %+v", v.r)
	}
	c.expires = 60_000_000
	if v = apply(Recipient{State: Leased}, o, c); v.r.Next != c.expires {
		t.Errorf("beyond the lifetime: %+v", v.r)
	}
	c.expires = 50
	// The clock alone never ends it.
	v = apply(Recipient{State: Leased, Attempts: 3, Reply: "before"}, Outcome{Result: NotTried}, c)
	if r := v.r; r.State != Queued || r.Attempts != 3 || r.Reply != "before" || r.Next != 100+giveBackMicros {
		t.Errorf("%+v", v)
	}
	v = apply(Recipient{State: Leased, Attempts: 3, Reply: "before"}, Outcome{Result: CutOff, Reply: "the server stops"}, c)
	if r := v.r; r.State != Queued || r.Attempts != 4 || r.Reply != "before" || r.Next != 100 {
		t.Errorf("cut off: %+v", v)
	}
}

// TestWaitAfterACutOff: the first attempt that finds something has the first wait, though
// one before it was cut off, or died with its process.
func TestWaitAfterACutOff(t *testing.T) {
	t.Parallel()
	c := circumstances{now: 100, expires: 1000 * 60_000_000, settings: defaults()}
	failed := Outcome{Result: TryLater, Code: 451, Reply: "not now"}
	cut := apply(Recipient{State: Leased}, Outcome{Result: CutOff}, c).r
	first := apply(cut, failed, c).r
	second := apply(first, failed, c).r
	for _, r := range []struct {
		Recipient
		attempts int
		wait     time.Duration
	}{{cut, 1, 0}, {first, 2, 5 * time.Minute}, {second, 3, time.Hour}} {
		if got := time.Duration(r.Next-c.now) * time.Microsecond; r.Attempts != r.attempts || got != r.wait {
			t.Errorf("attempt %d is followed by a wait of %v, want attempt %d and %v", r.Attempts, got, r.attempts, r.wait)
		}
	}
}

// TestSpread: neighbours are spread over a tenth of the wait, always in the same way.
func TestSpread(t *testing.T) {
	t.Parallel()
	ids := mail.NewIDs(1, 0)
	var tenths [10]int
	for range 1000 {
		id := ids.Next()
		d := spread(time.Hour, id)
		if d != spread(time.Hour, id) || d < time.Hour || d >= time.Hour+6*time.Minute {
			t.Fatalf("%v for %s", d, id)
		}
		tenths[(d-time.Hour)/(36*time.Second)]++
	}
	for i, n := range tenths {
		if n < 50 || n > 150 {
			t.Errorf("%d of 1000 in the %d. tenth", n, i+1)
		}
	}
}
