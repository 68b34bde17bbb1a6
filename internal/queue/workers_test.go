package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// TestOneFlowLeavesWorkers: the mail of one account to destinations that never answer
// keeps nobody else's from going out.
func TestOneFlowLeavesWorkers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ all, one int }{{2, 1}, {3, 2}, {10, 9}, {20, 18}, {200, 180}} {
		t.Run(fmt.Sprint(c.all), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const alice, bob = 1, 2
				w := newBubble(t, deliver(func(ctx context.Context, _ string, job *Job) []Outcome {
					if job.Message.Account == alice {
						select {
						case <-time.After(5 * time.Minute):
						case <-ctx.Done():
						}
						return all(job, Outcome{Result: TryLater, Code: 451, Ours: true, Unreached: true})
					}
					return all(job, delivered)
				}), func(s *Settings) { s.Concurrency = c.all })
				stop := w.run()
				var slow []*Message
				for i := range 2 * c.all {
					m := w.urgent(4, fmt.Sprintf("a@d%d.test", i))
					m.Account = alice
					slow = append(slow, m)
				}
				w.insert(slow...)
				synctest.Wait()
				w.q.mu.Lock()
				if w.q.active != c.one || w.q.busy[slow[0].flow()] != c.one {
					t.Errorf("%d workers, %d of the account, want %d of %d", w.q.active, w.q.busy[slow[0].flow()], c.one, c.all)
				}
				w.q.mu.Unlock()
				// One to a site that waits with what is the other's, one to its own.
				waits := fmt.Sprintf("b@d%d.test", 2*c.all-1)
				quick := w.message(waits, "b@other.test")
				quick.Account = mail.ID(bob)
				said, others := w.q.Full(slow[0]), w.q.Full(quick)
				if !strings.Contains(said, fmt.Sprintf("%d workers are busy with mail of the same account", c.one)) || others != "" {
					t.Errorf("one that waits: %q, one that does not: %q", said, others)
				}
				w.insert(quick)
				time.Sleep(time.Second)
				synctest.Wait()
				if n := w.obs.count("delivered"); n != 2 {
					t.Errorf("%d of 2 are delivered: %v", n, w.obs.seen())
				}
				stop()
				if w.q.active != 0 || len(w.q.busy) != 0 {
					t.Errorf("left: %d workers, %v", w.q.active, w.q.busy)
				}
			})
		})
	}
}

// TestFlowsShareTheWorkers: one that has nearly all of them gives way to one that comes
// later and has as much to do.
func TestFlowsShareTheWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &trickle{each: 100 * time.Millisecond, last: map[int64]time.Time{}, got: map[int64]int{}}
		w := newBubble(t, d, func(s *Settings) { s.Concurrency, s.PerSite = 20, 2 })
		w.run()
		load := func(account int64) {
			for i := range 20 {
				w.campaign(account, 60, fmt.Sprintf("d%d-%d.test", account, i))
			}
		}
		load(1)
		time.Sleep(500 * time.Millisecond)
		load(2)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		w.q.mu.Lock()
		for flow, n := range w.q.busy {
			if n < 8 || n > 11 {
				t.Errorf("flow %d has %d of %d workers", flow, n, w.q.active)
			}
		}
		if len(w.q.busy) != 2 || w.q.active < 18 {
			t.Errorf("%d workers for %v", w.q.active, w.q.busy)
		}
		w.q.mu.Unlock()
		time.Sleep(time.Minute)
		if !w.empty() {
			t.Errorf("left: %v", w.stats())
		}
	})
}

// TestAProviderWithRoomServesWhoMay: its places are not kept for one whose flow has
// its share of the workers.
func TestAProviderWithRoomServesWhoMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const alice, bob = 1, 2
		block := make(chan struct{})
		w := newBubble(t, deliver(func(_ context.Context, site string, job *Job) []Outcome {
			if strings.HasPrefix(site, "slow") {
				<-block
			}
			time.Sleep(time.Second)
			return all(job, delivered)
		}), func(s *Settings) { s.Concurrency, s.PerSite = 10, 20 })
		w.q.o.Provider = func(_ context.Context, site string) string {
			if strings.HasPrefix(site, "farm") {
				return "farm"
			}
			return site
		}
		w.q.o.Limits = func(provider string) Limits {
			if provider == "farm" {
				return Limits{Connections: 1}
			}
			return Limits{}
		}
		w.run()
		send := func(account mail.ID, sites string, n int) {
			for i := range n {
				m := w.message(fmt.Sprintf("u@%s%d.test", sites, i))
				m.Account = account
				w.insert(m)
			}
		}
		send(alice, "farm", 5)
		send(alice, "slow", 20)
		time.Sleep(10 * time.Second)
		send(bob, "farm", 7) // two of them to sites where nothing waits
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if n := w.obs.count("delivered"); n < 7 {
			t.Errorf("%d are delivered", n)
		}
		close(block)
		time.Sleep(time.Minute)
		if !w.empty() {
			t.Errorf("left: %v", w.stats())
		}
	})
}
