package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// TestTurn compares a turn with plain lists.
func TestTurn(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	var line turn
	may := func(int64) bool { return true }
	type held struct {
		s      *site
		flow   int64
		urgent bool
	}
	var model []held
	count := func(flow int64, urgent bool) (n int) {
		for _, h := range model {
			if h.flow == flow && h.urgent == urgent {
				n++
			}
		}
		return n
	}
	for i := range 20_000 {
		flow, urgent := int64(r.IntN(5)), r.IntN(4) == 0
		switch r.IntN(3) {
		case 0:
			s := &site{name: fmt.Sprint(i)}
			m := &Message{}
			if urgent {
				m.Priority = 4
			}
			s.ready.add(&lease{job: Job{Message: m}, flow: flow})
			line.add(s, may)
			model = append(model, held{s, flow, urgent})
		case 1:
			if len(model) == 0 {
				continue
			}
			at := r.IntN(len(model))
			h := model[at]
			line.move(h.s, flow, urgent, may)
			if urgent && !h.urgent || urgent == h.urgent && 2*(count(flow, urgent)+1) <= count(h.flow, h.urgent) {
				model = append(slices.Delete(model, at, at+1), held{h.s, flow, urgent})
			}
		default:
			s := line.any()
			if s == nil {
				if len(model) > 0 {
					t.Fatalf("step %d: none of %d", i, len(model))
				}
				continue
			}
			at := slices.IndexFunc(model, func(h held) bool { return h.s == s })
			first := slices.IndexFunc(model, func(h held) bool { return h.flow == model[at].flow && h.urgent == model[at].urgent })
			if first != at || !model[at].urgent && slices.ContainsFunc(model, func(h held) bool { return h.urgent }) || s.turn != nil {
				t.Fatalf("step %d: %s is number %d of its flow", i, s.name, at-first)
			}
			model = slices.Delete(model, at, at+1)
		}
		flows := map[held]bool{}
		for _, h := range model {
			flows[held{flow: h.flow, urgent: h.urgent}] = true
		}
		if n := len(line.urgent.by) + len(line.others.by); line.len() != len(model) || n != len(flows) || line.urgent.order.Len()+line.others.order.Len() != n {
			t.Fatalf("step %d: %d sites of %d flows, want %d of %d", i, line.len(), n, len(model), len(flows))
		}
	}
}

// TestSitesOfAProviderTakeTurns: who sends to one site of a provider does not stand behind
// what another account sends to its other sites, and the urgent stand behind nobody.
func TestSitesOfAProviderTakeTurns(t *testing.T) {
	t.Parallel()
	const alice, bob = 1, 2
	for _, c := range []struct {
		name        string
		n, sites    int // of the campaign
		bobs        string
		bob         mail.Priority
		low         mail.Priority
		last        int // of all that were sent, the number of bob's at most
		connections int
	}{
		{"many sites", 200, 200, "b.test", 0, 0, 5, 1},
		{"many sites, urgent", 200, 200, "b.test", 6, -4, 3, 1},
		{"urgent to a site that waits already", 200, 200, "d150.test", 6, -4, 3, 1},
		{"one busy site", 300, 1, "b.test", 0, 0, 2*jobsInTurn + 5, 1},
		{"some busy sites", 900, 3, "b.test", 0, 0, 2*2*jobsInTurn + 5, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var order []mail.ID
				f := &farm{}
				f.takes = func(_ int, job *Job) Outcome {
					order = append(order, job.Message.Account)
					return Outcome{Result: Delivered, Code: 250}
				}
				w := farmWorld(t, f, Limits{Connections: c.connections})
				w.run()
				var campaign []*Message
				for i := range c.n {
					m := w.urgent(c.low, fmt.Sprintf("u%d@d%d.test", i, i%c.sites))
					m.Account = alice
					campaign = append(campaign, m)
				}
				w.insert(campaign...)
				time.Sleep(time.Second)
				f.mu.Lock()
				before := len(order)
				f.mu.Unlock()
				m := w.urgent(c.bob, "to@"+c.bobs)
				m.Account = bob
				w.insert(m)
				time.Sleep(time.Minute)
				synctest.Wait()
				if at := slices.Index(order, bob) - before; at < 0 || at > c.last {
					t.Errorf("as number %d, %d before", at, before)
				}
				if n := w.obs.count("delivered"); n != c.n+1 {
					t.Errorf("%d of %d are delivered", n, c.n+1)
				}
				w.q.mu.Lock()
				defer w.q.mu.Unlock()
				p := w.q.providers["farm.test"]
				if len(w.q.sites) != 0 || w.q.turn.len() != 0 || p.waiting.len() != 0 || p.called != 0 || p.active != 0 {
					t.Errorf("left: %d sites, %d in turn, %d waiting, %d called, %d active",
						len(w.q.sites), w.q.turn.len(), p.waiting.len(), p.called, p.active)
				}
			})
		})
	}
}
