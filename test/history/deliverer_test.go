package history

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// deliverer is the far side of a world's queue.
type deliverer struct {
	w *world
	p *process
}

// Deliver implements queue.Deliverer.
func (d deliverer) Deliver(ctx context.Context, site string, next func() *queue.Job, done func(*queue.Job, []queue.Outcome)) {
	if site == queue.SiteLocal {
		intake.NewLocal(d.p.intake, nil).Deliver(ctx, site, next, done)
		return
	}
	for job := next(); job != nil; job = next() {
		tried := d.w.gates.wait(ctx, job)
		out := make([]queue.Outcome, 0, len(job.Recipients))
		for _, r := range job.Recipients {
			now := mail.Micros(time.Now())
			o := queue.Outcome{Recipient: r.ID, Result: queue.NotTried, Host: "mx." + site, Started: now, Ended: now}
			if tried {
				o.Code, o.Enhanced = attempt(r.Address.String(), r.Attempts)
				o.Reply = "as it was said"
				o.Result = map[int]queue.Result{2: queue.Delivered, 4: queue.TryLater, 5: queue.Refused}[o.Code/100]
			}
			out = append(out, o)
		}
		done(job, out)
	}
}

// gates hold attempts up until somebody lets them go on.
type gates struct {
	mu      sync.Mutex
	tokens  map[mail.ID]int
	gate    map[int]chan struct{}
	hanging int // recipients whose attempts wait
}

func newGates() *gates { return &gates{tokens: map[mail.ID]int{}, gate: map[int]chan struct{}{}} }

// set names the token that attempts of a message wait for.
func (g *gates) set(message mail.ID, token int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if token == 0 {
		return
	}
	g.tokens[message] = token
	if g.gate[token] == nil {
		g.gate[token] = make(chan struct{})
	}
}

func (g *gates) open(token int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.gate[token])
}

func (g *gates) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hanging
}

func (g *gates) hang(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hanging += n
}

// wait returns false if the process ends first.
func (g *gates) wait(ctx context.Context, job *queue.Job) bool {
	g.mu.Lock()
	gate := g.gate[g.tokens[job.Message.ID]]
	g.mu.Unlock()
	if gate == nil {
		return true
	}
	n := len(job.Recipients)
	g.hang(n)
	defer g.hang(-n)
	select {
	case <-gate:
		return true
	default:
	}
	select {
	case <-gate:
		return true
	case <-ctx.Done():
		return false
	}
}

// rest is what the queue comes to when it has done all that it can.
type rest struct {
	running bool
	leased  int // recipients whose attempts wait
}

// settle waits until the queue is at rest.
func (w *world) settle(r rest) error {
	if !r.running {
		return nil
	}
	var err error
	var counts map[queue.State]int64
	slow := w.eventually("the queue to come to rest", func() bool {
		counts, err = w.p.queue.Stats(w.ctx)
		return err != nil || counts[queue.Queued] == 0 && counts[queue.Leased] == int64(r.leased) && w.gates.waiting() == r.leased
	})
	if slow != nil {
		err = fmt.Errorf("%w: %v and %d attempts that wait, want %d", slow, counts, w.gates.waiting(), r.leased)
	}
	return err
}
