package ratelimit

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrBudget says that a budget stayed exhausted for as long as a taker waits.
var ErrBudget = errors.New("the memory for messages in flight is used up: limits.memory_in_flight says how much there is")

// Budget bounds octets that many hold at once. Who asks for more than is free
// waits, which slows its peer down instead of growing our memory. Who came first is
// served first: else one small message could lose against many large ones again and
// again.
type Budget struct {
	wait time.Duration

	mu      sync.Mutex
	limit   int
	held    int
	waiting []*taker // in the order in which they came
	wanted  bool     // see Wanted
}

// taker is somebody who waits.
type taker struct {
	octets int
	served chan struct{} // closed once the octets are his
}

// NewBudget allows limit octets; a taker waits at most wait.
func NewBudget(limit int, wait time.Duration) *Budget {
	return &Budget{limit: limit, wait: wait}
}

// SetLimit changes how much is allowed from now on.
func (b *Budget) SetLimit(limit int) {
	b.mu.Lock()
	b.limit = limit
	b.serve()
	b.mu.Unlock()
}

// Take waits for octets, ErrBudget if they do not become free in time. A taker
// always gets its octets when nobody holds any, so that a limit below one
// message's need stops nobody for ever.
func (b *Budget) Take(octets int) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(octets) {
		b.held += octets
		b.mu.Unlock()
		return nil
	}
	t := &taker{octets: octets, served: make(chan struct{})}
	b.waiting, b.wanted = append(b.waiting, t), true
	b.mu.Unlock()
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case <-t.served:
		return nil
	case <-timer.C:
		return b.leave(t)
	}
}

// fits tells whether octets are free. b.mu is held.
func (b *Budget) fits(octets int) bool { return b.held == 0 || b.held+octets <= b.limit }

// leave ends the wait of a taker whose time is over, unless he was served just now.
func (b *Budget) leave(t *taker) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.Index(b.waiting, t)
	if at < 0 {
		return nil
	}
	b.waiting = slices.Delete(b.waiting, at, at+1)
	b.serve() // those behind may want less
	b.wanted = true
	return ErrBudget
}

// Give returns octets that were taken.
func (b *Budget) Give(octets int) {
	b.mu.Lock()
	b.held -= octets
	b.serve()
	b.mu.Unlock()
}

// serve gives the first of those who wait what is free. b.mu is held.
func (b *Budget) serve() {
	n := 0
	for n < len(b.waiting) && b.fits(b.waiting[n].octets) {
		b.held += b.waiting[n].octets
		close(b.waiting[n].served)
		n++
	}
	b.waiting = slices.Delete(b.waiting, 0, n)
	b.wanted = len(b.waiting) > 0
}

// Wanted tells whether somebody waits for octets, or has done so in vain since any
// were given back.
func (b *Budget) Wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wanted
}

// Held is how many octets are taken.
func (b *Budget) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}
