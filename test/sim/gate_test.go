package sim

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// answer is what the loop says to one who stood at a gate.
type answer struct {
	dead  bool  // its process was killed: nothing that it does counts any more
	err   error // the fault that it meets
	value any
	after time.Duration // how long the answer of a commit takes
}

// parked is one who stands at a gate.
type parked struct {
	key    string // who it is and what it is about to do; two with one key are alike
	p      *process
	decide func() answer // run by the loop when it opens the gate
	resume chan answer
}

// gates holds all who wait to be let on.
type gates struct {
	mu      sync.Mutex
	waiting []*parked
	changed chan struct{} // somebody came, or a connection has something
}

func newGates() *gates { return &gates{changed: make(chan struct{}, 1)} }

func (g *gates) signal() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// pass waits until the loop lets the caller on. decide may be nil.
func (g *gates) pass(p *process, key string, decide func() answer) answer {
	return g.passUntil(context.Background(), p, key, decide)
}

// passUntil is pass for those who do not wait beyond the end of ctx: they go on by
// themselves then. Where several act for all at a gate, which of them is in front must
// not matter.
func (g *gates) passUntil(ctx context.Context, p *process, key string, decide func() answer) answer {
	if p.dead.Load() {
		return answer{dead: true}
	}
	one := &parked{key: key, p: p, decide: decide, resume: make(chan answer, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, one)
	g.mu.Unlock()
	g.signal()
	select {
	case a := <-one.resume:
		return a
	case <-ctx.Done():
	}
	g.mu.Lock()
	g.waiting = slices.DeleteFunc(g.waiting, func(o *parked) bool { return o == one })
	g.mu.Unlock()
	select {
	case a := <-one.resume:
		return a
	default:
		return answer{}
	}
}

// list is who stands at a gate, in the order of their keys.
func (g *gates) list() []*parked {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortStableFunc(g.waiting, func(a, b *parked) int { return cmp.Compare(a.key, b.key) })
	return slices.Clone(g.waiting)
}

// open lets one on.
func (g *gates) open(one *parked) {
	g.mu.Lock()
	g.waiting = slices.DeleteFunc(g.waiting, func(o *parked) bool { return o == one })
	g.mu.Unlock()
	var a answer
	if one.decide != nil {
		a = one.decide()
	}
	one.resume <- a
}

// release lets all of a dead process go.
func (g *gates) release(p *process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(one *parked) bool {
		if one.p == p {
			one.resume <- answer{dead: true}
		}
		return one.p == p
	})
}

// actorKey is under which a context names who acts.
type actorKey struct{}

func withActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// actor is who acts in a context. Of the two that a queue runs, the collector's
// has no end.
func actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return cmp.Or(name, "nobody")
}
