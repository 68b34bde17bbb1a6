package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// later is a message that waits for its time.
func (w *world) later(wait time.Duration, addresses ...string) *Message {
	m := w.message(addresses...)
	m.Release = mail.Micros(time.Now().Add(wait))
	return m
}

// TestRecall: what nobody has yet comes back whole, and nothing else does.
func TestRecall(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, site string, job *Job) []Outcome {
		if site == "slow.test" {
			<-block
		}
		return all(job, Outcome{Result: TryLater, Code: 451})
	}))
	w.run()
	mine, held, tried, running, mixed := w.later(time.Hour, "a@x.test", "b@y.test"), w.later(time.Hour, "a@x.test"),
		w.message("a@x.test"), w.message("a@slow.test"), w.later(time.Hour, "a@x.test", "b@x.test")
	mine.Account = 7
	w.insert(mine, held, tried, running, mixed)
	if n, err := w.q.Hold(t.Context(), Filter{IDs: []mail.ID{held.ID}}); n.All() != 1 || err != nil {
		t.Fatal(n, err)
	}
	w.exec("UPDATE queue_recipient SET attempts = 1 WHERE id = ?", int64(mixed.Recipients[1].ID))
	w.eventually("an attempt", func() bool { return w.obs.count("a@x.test deferred") == 1 })
	for _, c := range []struct {
		message, account mail.ID
		want             error
		n                int
	}{
		{mine.ID, 8, ErrNotFound, 0}, {mine.ID, 7, nil, 2}, {mine.ID, 7, ErrNotFound, 0}, {held.ID, 0, nil, 1},
		{tried.ID, 0, ErrTooLate, 0}, {running.ID, 0, ErrTooLate, 0}, {mixed.ID, 0, ErrTooLate, 0}, {12345, 0, ErrNotFound, 0},
	} {
		if n, err := w.q.Recall(t.Context(), c.message, c.account); !errors.Is(err, c.want) || err == nil && n != c.n {
			t.Errorf("%v for %d: %d, %v; want %d, %v", c.message, c.account, n, err, c.n, c.want)
		}
	}
	close(block)
	if got := w.obs.count("recalled gone"); got != 3 || w.rows("queue_message") != 3 {
		t.Errorf("%d recalled, %d messages left: %v", got, w.rows("queue_message"), w.obs.seen())
	}
}

// TestRecallAfterACrash: what was under way when its process died may have arrived,
// whoever holds it since. What was only held comes back.
func TestRecallAfterACrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		wish    wish
		crashes int
		want    error
	}{
		{"never tried", 0, 0, nil},
		{"held since", 0, 1, ErrTooLate},
		{"to be held", wishHold, 1, ErrTooLate},
		{"to be deleted", wishDelete, 1, ErrTooLate},
		{"to be held with its account", wishHoldAccount, 1, ErrTooLate},
		{"two crashes", wishHold, 2, ErrTooLate},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, always(delivered))
			m := w.message("a@x.test")
			w.insert(m)
			for range c.crashes {
				w.exec("UPDATE queue_recipient SET state = 2, owner = 99, wish = ?", int(c.wish))
				_, err := w.q.Recover(t.Context())
				w.must(err)
			}
			_, err := w.q.Hold(t.Context(), Filter{All: true})
			w.must(err)
			got, err := w.q.Show(t.Context(), m.ID)
			w.must(err)
			if r := got.Recipients[0]; r.State != Held || r.Attempts != min(c.crashes, 1) {
				t.Errorf("%v after %d attempts", r.State, r.Attempts)
			}
			if _, err := w.q.Recall(t.Context(), m.ID, 0); !errors.Is(err, c.want) {
				t.Errorf("recall: %v, want %v", err, c.want)
			}
		})
	}
}

// TestReleasedBeforeItsTime: what was held still waits for its time.
func TestReleasedBeforeItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	w.run()
	m := w.later(time.Hour, "a@x.test")
	m.Recipients[0].State = Held // as the rules may have it
	w.insert(m)
	if n, err := w.q.Release(t.Context(), Filter{All: true}); n.All() != 1 || err != nil {
		t.Fatal(n, err)
	}
	got, err := w.q.Show(t.Context(), m.ID)
	w.must(err)
	if r := got.Recipients[0]; r.State != Queued || r.Next != m.Release {
		t.Errorf("%v at %d, want %d", r.State, r.Next, m.Release)
	}
}

// TestRecallBesideTheClaim: each message goes out or comes back, never both and
// never neither.
func TestRecallBesideTheClaim(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var out []mail.ID
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		mu.Lock()
		out = append(out, job.Message.ID)
		mu.Unlock()
		return all(job, delivered)
	}))
	w.run()
	const many = 400
	n := many / scale
	var list []*Message
	for i := range n {
		list = append(list, w.later(20*time.Millisecond+time.Duration(i)*200*time.Microsecond, fmt.Sprintf("a@d%d.test", i%7)))
	}
	w.insert(list...)
	var back atomic.Int64
	var wg sync.WaitGroup
	recalled := make([]bool, n)
	for i, m := range list {
		wg.Go(func() {
			wait := time.NewTimer(time.Until(mail.FromMicros(m.Release)) - time.Millisecond)
			<-wait.C
			switch _, err := w.q.Recall(t.Context(), m.ID, 0); {
			case err == nil:
				recalled[i] = true
				back.Add(1)
			case !errors.Is(err, ErrTooLate) && !errors.Is(err, ErrNotFound):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.eventually("an empty queue", w.empty)
	mu.Lock()
	defer mu.Unlock()
	for i, m := range list {
		if went := slices.Contains(out, m.ID); went == recalled[i] {
			t.Errorf("message %d went out: %v, came back: %v", i, went, recalled[i])
		}
	}
	t.Logf("%d of %d came back", back.Load(), n)
}

// TestGroupOfAMessageThatWaits: of a group the sender is told once its members may
// have the message, and never if it was taken back before.
func TestGroupOfAMessageThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome { return all(job, delivered) }))
		stop := w.run()
		team := func() *Message {
			m := w.later(time.Hour, "a@x.test", "b@y.test")
			m.Recipients = append(m.Recipients, Recipient{
				ID: w.ids.Next(), Recipient: mail.Recipient{Address: w.address("team@hayauma.test"), Notify: mail.NotifySuccess},
				Site: "hayauma.test", State: Served, Code: 250, Enhanced: "2.1.5",
			})
			w.insert(m)
			return m
		}
		served := func() int {
			list, err := w.q.Served(t.Context(), 0, 10)
			w.must(err)
			return len(list)
		}
		back, gone := team(), team()
		if n, err := w.q.Recall(t.Context(), back.ID, 0); n != 2 || err != nil || served() != 0 {
			t.Errorf("recall: %d, %v, %d reports due", n, err, served())
		}
		if n := w.stats()[Served]; n != 1 {
			t.Errorf("%d groups are left, want that of the other one", n)
		}
		pause := time.NewTimer(time.Hour + time.Minute)
		<-pause.C
		if n := served(); n != 1 {
			t.Errorf("%d reports due at its time", n)
		}
		if _, err := w.q.Recall(t.Context(), gone.ID, 0); !errors.Is(err, ErrTooLate) {
			t.Errorf("recall behind its time: %v", err)
		}
		stop()
	})
}
