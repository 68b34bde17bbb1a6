package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// trickle is a Deliverer that takes its time, and notes when each account's last
// message was taken.
type trickle struct {
	each time.Duration
	mu   sync.Mutex
	last map[int64]time.Time // by account
	got  map[int64]int
}

func (d *trickle) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	for job := next(); job != nil; job = next() {
		<-time.After(d.each)
		a := int64(job.Message.Account)
		d.mu.Lock()
		d.last[a] = time.Now()
		d.got[a]++
		d.mu.Unlock()
		done(job, all(job, Outcome{Result: Delivered, Code: 250}))
	}
}

// campaign is messages of one account to one site.
func (w *world) campaign(account int64, n int, site string) {
	for n > 0 {
		var list []*Message
		for range min(n, 100) {
			m := w.message(fmt.Sprintf("u%d@%s", n, site))
			m.Account = mail.ID(account)
			list = append(list, m)
			n--
		}
		w.insert(list...)
	}
}

// TestACampaignHoldsNobodyUp: whether it waits in memory or in the database, an
// account's few messages do not stand behind the many of another.
func TestACampaignHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	many := 5000
	if scale > 1 { // the race detector looks at the locks, not at the order
		many = 600
	}
	for _, c := range []struct {
		name   string
		memory int64
		before bool // the queue runs when the mail comes
	}{
		{"in memory", 64 << 20, true},
		{"in the database", 64 << 20, false},
		{"memory is short", 1 << 20, true},
		{"no memory for handing over", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &trickle{each: 10 * time.Millisecond, last: map[int64]time.Time{}, got: map[int64]int{}}
				w := newBubble(t, d, func(s *Settings) { s.PerSite, s.Memory = 1, c.memory })
				if c.before {
					w.run()
				}
				w.campaign(1, many, "big.test")
				for account := int64(2); account < 12; account++ {
					w.campaign(account, 2, "big.test")
				}
				begun := time.Now()
				if !c.before {
					w.run()
				}
				time.Sleep(30 * time.Second)
				synctest.Wait()
				d.mu.Lock()
				defer d.mu.Unlock()
				for account := int64(2); account < 12; account++ {
					// The worst is what was in memory already when they came.
					if took := d.last[account].Sub(begun); d.got[account] != 2 || took > (siteRows+50)*d.each {
						t.Errorf("account %d: %d messages, the last after %v", account, d.got[account], took)
					}
				}
				if d.got[1] < min(many, 2500) {
					t.Errorf("the campaign has sent %d in half a minute", d.got[1])
				}
			})
		})
	}
}

// TestManyFlows: none is forgotten, however many there are.
func TestManyFlows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &trickle{last: map[int64]time.Time{}, got: map[int64]int{}}
		w := newBubble(t, d, func(s *Settings) { s.PerSite, s.Memory = 1, 0 })
		accounts := 2500 / scale
		for account := range int64(accounts) {
			w.campaign(account+1, 1+int(account%2), "big.test")
		}
		w.run()
		time.Sleep(time.Minute)
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.got) != accounts || !w.empty() {
			t.Errorf("%d accounts have sent, %v", len(d.got), w.stats())
		}
		w.q.mu.Lock()
		defer w.q.mu.Unlock()
		if w.q.octets != 0 || len(w.q.flows) != 0 || w.q.turn.len() != 0 {
			t.Errorf("left: %d octets, %d flows, %d in turn", w.q.octets, len(w.q.flows), w.q.turn.len())
		}
	})
}

// TestRing compares a ring with plain lists.
func TestRing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var ring ring[int]
	model, flowOf := map[int64][]int{}, map[int]int64{}
	for i := range 20_000 {
		switch flow := int64(r.IntN(5)); {
		case r.IntN(3) > 0:
			ring.add(flow, i)
			model[flow] = append(model[flow], i)
			flowOf[i] = flow
		default:
			v, ok := ring.pop()
			n := 0
			for _, list := range model {
				n += len(list)
			}
			if ok != (n > 0) || ok && model[flowOf[v]][0] != v || ring.n != max(n-1, 0) {
				t.Fatalf("step %d: %d, %v of %d", i, v, ok, n)
			}
			if ok {
				model[flowOf[v]] = model[flowOf[v]][1:]
			}
		}
		waiting := 0
		for _, list := range model {
			if len(list) > 0 {
				waiting++
			}
		}
		if len(ring.order) != waiting || len(ring.by) != waiting {
			t.Fatalf("step %d: %d flows in order, %d by name, want %d", i, len(ring.order), len(ring.by), waiting)
		}
	}
}
