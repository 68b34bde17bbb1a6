package sim

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
)

// process is what one process of the server has in memory.
type process struct {
	w    *world
	name string
	dead atomic.Bool
	db   *store
	q    *queue.Queue
	out  *outbound.Outbound
	stop context.CancelFunc

	ended    chan struct{} // its Run has returned
	stopping bool
	cut      bool // its stop had faults or no time
	ops      int  // operators that are at work
	workers  int
	active   map[string]int // calls of Deliver by provider
}

// begin starts a process over the database.
func (w *world) begin() {
	w.processes++
	p := &process{w: w, name: fmt.Sprintf("p%d", w.processes), ended: make(chan struct{}), active: map[string]int{}}
	w.p = p
	p.db = &store{DB: w.engine, w: w, p: p}
	p.out = outbound.New(outbound.Options{
		Hostname: func() string { return "us.test" },
		Resolver: dnsx.New(dnsx.Options{Server: "192.0.2.53:53", Exchange: p.exchange}),
		Blobs:    bodies{w: w, p: p},
		Settings: func() outbound.Settings { return w.relay },
		Dial:     p.dial,
		Logger:   slog.New(slog.DiscardHandler),
	})
	o := queue.Options{
		DB: p.db, IDs: w.ids, Settings: func() queue.Settings { return w.set }, Deliverer: deliverer{p},
		Observer: w.model, Logger: slog.New(slog.DiscardHandler), Sleep: p.sleep,
	}
	if w.shared != "" {
		o.Provider, o.Advise = p.provider, w.advise
		o.Limits = func(string) queue.Limits { return w.limits }
	}
	p.q = queue.New(o)
	ctx, cancel := context.WithCancel(withActor(context.Background(), p.name))
	p.stop = cancel
	w.trace("%s starts", p.name)
	go func() {
		defer close(p.ended)
		if err := p.q.Run(ctx); err != nil {
			w.fail("run: %v", err)
		}
		p.out.Close()
		w.gates.signal()
	}()
}

// kill ends the process as kill -9 does: nothing that it still wants gets
// through, and its connections end.
func (w *world) kill(how string) {
	p := w.p
	w.trace("%s: %s", p.name, how)
	p.dead.Store(true)
	p.stop()
	w.gates.release(p)
	for _, s := range w.sessions {
		if s.c.p == p {
			_ = s.c.Close()
		}
	}
	w.hooks = nil
	w.model.killed(p)
}

// sleep is the scheduler's. A machine may be busy: where nothing is known to be
// due, it sleeps on for longer than it meant to.
func (p *process) sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	if d >= time.Minute {
		d = p.w.nap
	}
	// A timer that is over at once is not: nobody can tell when it fires.
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-wake:
		case <-t.C:
		case <-ctx.Done():
		}
	}
	p.w.gates.pass(p, p.name+" wakes", nil)
}

// provider asks who takes the mail of a site.
func (p *process) provider(_ context.Context, site string) string {
	p.w.gates.pass(p, p.name+" asks for the provider of "+site, nil)
	return p.w.provider(site)
}

// advise has a provider left alone that says 421 by itself.
func (w *world) advise(_ string, o *queue.Outcome) queue.Advice {
	if w.alone == 0 || o.Code != 421 {
		return queue.Advice{}
	}
	return queue.Advice{For: w.alone, Pause: true, Why: "it says so"}
}

// deliverer puts gates around the relay.
type deliverer struct{ p *process }

// Deliver implements queue.Deliverer.
func (d deliverer) Deliver(ctx context.Context, site string, next func() *queue.Job, done func(*queue.Job, []queue.Outcome)) {
	p, w := d.p, d.p.w
	w.model.enter(p, site)
	defer w.model.leave(p, site)
	a := w.gates.pass(p, p.name+" starts for "+site, func() answer {
		p.workers++
		return answer{value: fmt.Sprintf("%s w%d", p.name, p.workers)}
	})
	if a.dead {
		return
	}
	name, _ := a.value.(string)
	defer w.model.dropped(p, name)
	p.out.Deliver(withActor(ctx, name), site, func() *queue.Job {
		if w.gates.pass(p, name+" next", nil).dead {
			return nil
		}
		job := next()
		w.model.handed(p, name, job)
		if job != nil {
			job.Course = course{p, name, job.Course}
		}
		return job
	}, func(job *queue.Job, outcomes []queue.Outcome) {
		if w.gates.pass(p, name+" done", nil).dead {
			return
		}
		w.model.reported(name, job, outcomes)
		done(job, outcomes)
	})
	w.gates.pass(p, name+" ends", nil)
}

// course puts a gate before what is reported while a job goes on.
type course struct {
	p    *process
	name string
	of   queue.Course
}

// Another implements queue.Course.
func (c course) Another(outcomes []queue.Outcome, left []queue.Recipient) []queue.Recipient {
	w := c.p.w
	if w.gates.pass(c.p, c.name+" goes on", nil).dead {
		return nil
	}
	w.model.partly(c.name, outcomes, left)
	kept := c.of.Another(outcomes, left)
	if kept != nil {
		w.model.withdrawn(c.name, left, kept)
	}
	return kept
}

// hook is what a commit left to be done whose answer was lost.
type hook struct {
	p    *process
	name string
	run  []func()
}

// later keeps hooks until the engine has found out that their commit happened.
func (w *world) later(p *process, name string, hooks []func()) {
	if len(hooks) > 0 {
		w.hooks = append(w.hooks, hook{p, name, hooks})
	}
}

// op runs what somebody does, beside everything else.
func (w *world) op(what string, do func(ctx context.Context, p *process) error) {
	p := w.p
	w.opCount++
	name := fmt.Sprintf("%s op%d", p.name, w.opCount)
	w.trace("%s: %s", name, what)
	p.ops++
	go func() {
		err := do(withActor(context.Background(), name), p)
		if w.gates.pass(p, name+" over", nil).dead {
			return
		}
		p.ops--
		if err != nil {
			w.trace("%s: %v", name, err)
		}
	}()
}
