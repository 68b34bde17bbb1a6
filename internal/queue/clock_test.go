package queue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// TestClockSetBack: what a process with a fast clock left waits no longer, by the right one,
// than was asked for, and keeps its lifetime.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	const ahead = 30 * 24 * time.Hour
	for _, c := range []struct {
		name     string
		accepted time.Duration // by the old clock, from now on
		release  time.Duration // the same; 0 = at once
		until    bool          // that is a date
		state    State
		next     time.Duration
		want     time.Duration // due in
	}{
		{"accepted and put off", ahead, 0, false, Deferred, ahead + 5*time.Minute, 5 * time.Minute},
		{"accepted and not tried", ahead, 0, false, Queued, ahead, 0},
		{"put off, accepted before", -time.Hour, 0, false, Deferred, ahead + 5*time.Minute, 0},
		{"rests, accepted before", -time.Hour, 0, false, Queued, ahead + 10*time.Second, 0},
		{"to wait for an hour", ahead, ahead + time.Hour, false, Queued, ahead + time.Hour, time.Hour},
		{"to wait, accepted before", -time.Hour, 20 * 24 * time.Hour, false, Queued, 20 * 24 * time.Hour, 20 * 24 * time.Hour},
		{"to wait, and rests behind that", -time.Hour, time.Hour, false, Queued, ahead, time.Hour},
		{"to wait until a date", ahead, ahead + time.Hour, true, Queued, ahead + time.Hour, ahead + time.Hour},
		{"tried, its date is to come again", 20 * 24 * time.Hour, 29 * 24 * time.Hour, true, Deferred, ahead + 5*time.Minute, 29 * 24 * time.Hour},
		{"put off as the schedule says", -time.Hour, 0, false, Deferred, time.Hour, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // its clock is far behind all ids
				block := make(chan struct{})
				w := newBubble(t, deliver(func(context.Context, string, *Job) []Outcome { <-block; return nil }))
				now := micros()
				m := w.message("a@x.test")
				m.Received = now + c.accepted.Microseconds()
				if c.release != 0 {
					m.Release, m.Until = now+c.release.Microseconds(), c.until
				}
				w.insert(m)
				w.exec("UPDATE queue_recipient SET state = ?, next = ?, attempts = 1, code = 451, reply = 'not now'", int(c.state), now+c.next.Microseconds())
				w.must(w.q.setRight(t.Context(), micros()))
				got, err := w.q.Show(t.Context(), m.ID)
				w.must(err)
				r := &got.Recipients[0]
				if due := time.Duration(r.Next-now) * time.Microsecond; due != c.want || r.State != c.state {
					t.Errorf("%v and due in %v, want %v", r.State, due, c.want)
				}
				release, life := time.Duration(0), min(c.accepted, 0)
				if c.release != 0 {
					if release = c.release; !c.until {
						release -= max(c.accepted, 0)
					}
					life = release
				}
				if wait := time.Duration(max(r.NotBefore-now, 0)) * time.Microsecond; wait != release {
					t.Errorf("its time comes in %v, want %v", wait, release)
				}
				if ends := time.Duration(w.q.Expires(got, r)-now) * time.Microsecond; ends != w.set.Lifetime+life {
					t.Errorf("it expires in %v, want %v", ends, w.set.Lifetime+life)
				}
				close(block)
			})
		})
	}
}

// TestGoesOnAfterTheClockWasSetBack: the start of the server is enough.
func TestGoesOnAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, always(delivered))
		m, deadline := w.message("a@x.test"), w.message("b@x.test")
		m.Received += (30 * 24 * time.Hour).Microseconds()
		deadline.Received, deadline.By = m.Received, mail.DeliverBy{At: m.Received + time.Hour.Microseconds(), Return: true}
		w.insert(m, deadline)
		w.exec("UPDATE queue_recipient SET state = 3, attempts = 1, code = 451, next = received + 300000000")
		stop := w.run()
		passed := time.NewTimer(6 * time.Minute)
		<-passed.C
		if w.obs.count("delivered gone") != 2 || !w.empty() {
			t.Errorf("after six minutes: %v", w.obs.seen())
		}
		stop()
	})
}

// TestRetryWhileTheClockIsBehind: what was accepted at a later time than now is tried when
// somebody says so, and what is not, since its sender gave a time, is not counted.
func TestRetryWhileTheClockIsBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	m, later := w.message("a@x.test"), w.later(2*time.Hour, "b@x.test")
	m.Received += time.Hour.Microseconds()
	w.insert(m, later)
	w.exec("UPDATE queue_recipient SET state = 3, attempts = 1, code = 451, next = received + 300000000")
	if n, err := w.q.Retry(t.Context(), Filter{All: true}); n.All() != 1 || err != nil {
		t.Errorf("retried %d, %v", n.All(), err)
	}
	for _, of := range []*Message{m, later} {
		got, err := w.q.Show(t.Context(), of.ID)
		w.must(err)
		if r := got.Recipients[0]; (r.Next <= micros()) != (of == m) || r.NotBefore != of.Release {
			t.Errorf("%s: %v, due at %d, not before %d", r.Address, r.State, r.Next, r.NotBefore)
		}
	}
}

// TestNothingIsReadForARightClock: neither a start nor a turn of the scheduler looks through
// the queue for that; a clock that is set back is noticed once.
func TestNothingIsReadForARightClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	now, right := micros(), w.q.o.DB
	w.q.o.DB = nil
	w.must(w.q.setRight(t.Context(), now))
	w.must(w.q.setRight(t.Context(), now+time.Hour.Microseconds()))
	w.must(w.q.setRight(t.Context(), now+time.Hour.Microseconds()-fast.Microseconds()+1))
	w.q.o.DB = right
	m := w.message("a@x.test")
	m.Received += time.Hour.Microseconds()
	m.ID = mail.FirstID(mail.FromMicros(m.Received))
	w.insert(m)
	w.must(w.q.setRight(t.Context(), now))
	got, err := w.q.Show(t.Context(), m.ID)
	w.must(err)
	if got.Received < now || got.Received > micros() {
		t.Errorf("accepted at %d, want it after %d", got.Received, now)
	}
	w.q.o.DB = nil
	w.must(w.q.setRight(t.Context(), now))
}

// TestUnderWayWhenTheClockIsSetBack: a result is that of its lease, whatever the clock did
// meanwhile: one that is dropped would be a second copy after the next start.
func TestUnderWayWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
			<-end
			return all(job, Outcome{Result: Delivered})
		}))
		stop := w.run()
		w.hold.Store(true)
		m := w.message("a@x.test")
		w.insert(m)
		ahead := (30 * 24 * time.Hour).Microseconds()
		w.exec("UPDATE queue_message SET received = received + ?, expires = expires + ?", ahead, ahead)
		w.exec("UPDATE queue_recipient SET state = 1, next = next + ?, received = received + ?", ahead, ahead)
		w.must(w.q.claim(t.Context(), []int64{int64(m.Recipients[0].ID)}))
		synctest.Wait() // the scheduler sleeps, the attempt goes on
		w.q.latest = micros() + ahead
		w.must(w.q.setRight(t.Context(), micros()))
		got, err := w.q.Show(t.Context(), m.ID)
		w.must(err)
		if got.Received != micros() {
			t.Errorf("accepted at %d, want it at %d", got.Received, micros())
		}
		close(end)
		synctest.Wait()
		if w.obs.count("delivered gone") != 1 || !w.empty() {
			t.Errorf("after the attempt: %v, %v", w.obs.seen(), w.stats())
		}
		stop()
	})
}
