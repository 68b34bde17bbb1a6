package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// stepwise is a Deliverer that gives each recipient a transaction of his own, of a second,
// and calls after behind each.
type stepwise struct {
	after func(n int)
	began []string // the addresses of the transactions
}

func (s *stepwise) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	for job := next(); job != nil; job = next() {
		var outcomes []Outcome
		for left := job.Recipients; len(left) > 0; {
			r := left[0]
			s.began = append(s.began, r.Address.Local)
			<-time.After(time.Second)
			outcomes = append(outcomes, Outcome{Recipient: r.ID, Result: Delivered, Code: 250})
			if s.after != nil {
				s.after(len(s.began))
			}
			if left = left[1:]; len(left) > 0 {
				left = job.Course.Another(outcomes, left)
				outcomes = nil
			}
		}
		done(job, outcomes)
	}
}

// many are n addresses of one site.
func many(n int) (to []string) {
	for i := range n {
		to = append(to, fmt.Sprintf("r%d@x.test", i))
	}
	return to
}

// TestRecordedMeanwhile: what a transaction settled is recorded before the next one ends,
// once, and a crash repeats none of it.
func TestRecordedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stepwise{}
		w := newBubble(t, s)
		s.after = func(n int) {
			if n > 7 {
				return
			}
			synctest.Wait()
			if rows := w.rows("queue_recipient"); rows != 10-n+1 {
				t.Errorf("%d recipients are left when transaction %d ends", rows, n)
			}
			if n == 7 {
				panic("the worker dies")
			}
		}
		stop := w.run()
		w.insert(w.message(many(10)...))
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if n := w.obs.count("delivered"); n != 6 || w.obs.count("r6@x.test deferred") != 1 || w.obs.count("deferred") != 4 {
			t.Errorf("told of: %v", w.obs.seen())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := w.obs.count("delivered"); n != 10 || !w.empty() || len(s.began) != 11 {
			t.Errorf("told of: %v; transactions for %v", w.obs.seen(), s.began)
		}
		stop()
		w.q.mu.Lock()
		defer w.q.mu.Unlock()
		if w.q.octets != 0 || w.q.unrecorded != 0 || len(w.q.flows) != 0 {
			t.Errorf("left: %d octets, %d not recorded, flows %v", w.q.octets, w.q.unrecorded, w.q.flows)
		}
	})
}

// TestNoMoreWithoutRecords: a job takes no further transaction while the database does not
// record the last ones; after a moment it goes on, else the rest is given back untried.
func TestNoMoreWithoutRecords(t *testing.T) {
	t.Parallel()
	for _, away := range []time.Duration{5 * time.Second, 30 * time.Second} {
		t.Run(away.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &stepwise{}
				w := newBubble(t, s)
				g := &gated{DB: w.db}
				w.db = g
				w.open(s)
				stop := w.run()
				w.insert(w.message(many(4)...))
				synctest.Wait()
				open := g.shut()
				time.Sleep(away)
				synctest.Wait()
				if !slices.Equal(s.began, []string{"r0", "r1"}) {
					t.Errorf("while nothing is recorded: %v", s.began)
				}
				open()
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := w.obs.count("delivered"); n != 4 || len(s.began) != 4 || !w.empty() {
					t.Errorf("%s; transactions for %v", strings.Join(w.obs.seen(), ", "), s.began)
				}
				stop()
			})
		})
	}
}

// TestWishMeanwhile: who was not yet in a transaction when he was to be held, given up or
// deleted gets nothing, and the wish is granted while the job goes on with others.
func TestWishMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verb  func(*Queue, context.Context, Filter) (Touched, error)
		one   bool // the fourth alone, else all
		began int
		told  string
	}{
		"hold all":       {(*Queue).Hold, false, 2, "held held"},
		"hold one":       {(*Queue).Hold, true, 5, "held held"},
		"delete all":     {(*Queue).Delete, false, 2, "deleted gone"},
		"bounce all":     {(*Queue).Bounce, false, 2, "failed failed"},
		"hold their own": {func(q *Queue, ctx context.Context, _ Filter) (Touched, error) { return q.HoldAccount(ctx, 5) }, false, 2, "held held"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &stepwise{}
				w := newBubble(t, s)
				m := w.message(many(6)...)
				m.Account = 5
				f := Filter{All: true}
				if c.one {
					f = Filter{IDs: []mail.ID{m.Recipients[3].ID}}
				}
				s.after = func(n int) {
					synctest.Wait()
					if n == 2 {
						if _, err := c.verb(w.q, t.Context(), f); err != nil {
							t.Error(err)
						}
					}
					if n == 4 && w.obs.count(c.told) != 1 {
						t.Errorf("while the job goes on: %v", w.obs.seen())
					}
				}
				stop := w.run()
				w.insert(m)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := w.obs.count(c.told); len(s.began) != c.began || w.obs.count("delivered") != c.began || n != 6-c.began {
					t.Errorf("transactions for %v, %d %s; told of %v", s.began, n, c.told, w.obs.seen())
				}
				stop()
			})
		})
	}
}
