package queue

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// slowly refuses everybody at once, but for the sites that take their time first.
func slowly(o Outcome, takes map[string]time.Duration) deliver {
	return func(ctx context.Context, site string, job *Job) []Outcome {
		d, slow := takes[site]
		if !slow {
			return all(job, Outcome{Result: Refused, Code: 550, Host: "mx.test"})
		}
		select {
		case <-time.After(d):
			return all(job, o)
		case <-ctx.Done():
			return all(job, Outcome{Result: NotTried})
		}
	}
}

// reported are the reports that a reporter writes within a time: when, and of how many.
func (w *world) reported(start time.Time, within time.Duration) (out []string) {
	w.t.Helper()
	for end := time.After(within); ; {
		for _, more := range []func(context.Context, mail.ID, int) ([]*Message, error){w.q.Failed, w.q.Served} {
			list, err := more(w.t.Context(), 0, 10)
			w.must(err)
			for _, m := range list {
				var ids []mail.ID
				for _, r := range m.Recipients {
					ids = append(ids, r.ID)
				}
				out = append(out, fmt.Sprintf("%v: %d", time.Since(start), len(ids)))
				w.must(w.db.Write(w.t.Context(), func(tx *db.Tx) error { return w.q.Settle(tx, ids) }))
			}
		}
		select {
		case <-w.q.FailedWake():
			synctest.Wait() // what happens at the same time
		case <-end:
			return out
		}
	}
}

// TestReportedTogether: the recipients of a message that fail while others are under way
// are reported together with them, within a second, but no later than a minute after the
// first.
func TestReportedTogether(t *testing.T) {
	t.Parallel()
	refused := Outcome{Result: Refused, Code: 550, Host: "mx.test"}
	put := func(again time.Duration) Outcome {
		return Outcome{Result: TryLater, Code: 450, Host: "mx.test", Again: again}
	}
	for _, c := range []struct {
		name   string
		slow   Outcome
		takes  map[string]time.Duration
		to     []string
		wanted []string
	}{
		{"one", refused, nil, []string{"a@x.test"}, []string{"0s: 1"}},
		{"all at once", refused, nil, []string{"a@x.test", "b@x.test"}, []string{"0s: 2"}},
		{"many domains", refused, map[string]time.Duration{"a.test": 3 * time.Second, "b.test": 7 * time.Second, "c.test": 7 * time.Second},
			[]string{"a@a.test", "b@b.test", "c@c.test", "d@d.test"}, []string{"7s: 4"}},
		{"one is delivered", delivered, map[string]time.Duration{"slow.test": 10 * time.Second}, []string{"a@x.test", "b@slow.test", "c@y.test"}, []string{"11s: 2"}},
		{"one is put off", put(time.Hour), map[string]time.Duration{"slow.test": 10 * time.Second}, []string{"a@x.test", "b@slow.test"}, []string{"11s: 1"}},
		{"one takes longer than a minute", refused, map[string]time.Duration{"slow.test": 90 * time.Second}, []string{"a@x.test", "b@slow.test"},
			[]string{"1m0s: 1", "1m30s: 1"}},
		{"two later ones as well", refused, map[string]time.Duration{"a.test": 70 * time.Second, "b.test": 100 * time.Second},
			[]string{"a@x.test", "b@a.test", "c@b.test"}, []string{"1m0s: 1", "1m40s: 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, slowly(c.slow, c.takes))
				stop := w.run()
				start := time.Now()
				w.insert(w.message(c.to...))
				if got := w.reported(start, 3*time.Minute); !slices.Equal(got, c.wanted) {
					t.Errorf("reports %q, want %q", got, c.wanted)
				}
				stop()
			})
		})
	}
}

// TestSuccessReportedTogether: so it is with those who are served, and one report does
// not wait for the other kind.
func TestSuccessReportedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, slowly(delivered, map[string]time.Duration{"a.test": time.Second, "b.test": 5 * time.Second, "c.test": 80 * time.Second}))
		stop := w.run()
		start := time.Now()
		m := w.message("a@a.test", "b@b.test", "c@c.test", "d@x.test")
		for i := range m.Recipients {
			m.Recipients[i].Notify = mail.NotifySuccess
		}
		w.insert(m)
		if got := fmt.Sprint(w.reported(start, 3*time.Minute)); got != "[1m0s: 1 1m1s: 2 1m20s: 1]" {
			t.Errorf("reports %s", got)
		}
		stop()
	})
}

// TestTogetherAfterACrash: how long a message is left alone stands in its rows. What
// waits holds up none behind it.
func TestTogetherAfterACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, slowly(delivered, map[string]time.Duration{"slow.test": time.Hour}))
		stop := w.run()
		w.insert(w.message("a@x.test", "b@slow.test"))
		w.insert(w.message("c@x.test", "d@slow.test"))
		last := w.message("e@x.test")
		w.insert(last)
		<-time.After(40 * time.Second)
		process := w.q
		w.open(nil) // as after a kill: it has only the rows, of which some are still leased
		list, err := w.q.Failed(t.Context(), 0, 1)
		w.must(err)
		if len(list) != 1 || list[0].ID != last.ID {
			t.Errorf("behind those that wait: %+v", list)
		}
		if got := w.reported(time.Now(), time.Minute); fmt.Sprint(got) != "[0s: 1 20s: 1 20s: 1]" {
			t.Errorf("reports %q", got)
		}
		w.q = process
		stop()
	})
}
