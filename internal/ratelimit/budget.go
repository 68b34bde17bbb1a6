package ratelimit

import (
	"errors"
	"sync"
	"time"
)

// ErrBudget says that a budget stayed exhausted for as long as a taker waits.
var ErrBudget = errors.New("the memory for messages in flight is used up: limits.memory_in_flight says how much there is")

// Budget bounds octets that many hold at once. Who asks for more than is free
// waits, which slows its peer down instead of growing our memory.
type Budget struct {
	wait time.Duration

	mu    sync.Mutex
	limit int
	held  int
	freed chan struct{} // closed when there may be room; nil = nobody waits
}

// NewBudget allows limit octets; a taker waits at most wait.
func NewBudget(limit int, wait time.Duration) *Budget {
	return &Budget{limit: limit, wait: wait}
}

// SetLimit changes how much is allowed from now on.
func (b *Budget) SetLimit(limit int) {
	b.mu.Lock()
	b.limit = limit
	b.wake()
	b.mu.Unlock()
}

// Take waits for octets, ErrBudget if they do not become free in time. A taker
// always gets its octets when nobody holds any, so that a limit below one
// message's need stops nobody for ever.
func (b *Budget) Take(octets int) error {
	var timer *time.Timer
	for {
		b.mu.Lock()
		if b.held == 0 || b.held+octets <= b.limit {
			b.held += octets
			b.mu.Unlock()
			return nil
		}
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		freed := b.freed
		b.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(b.wait)
			defer timer.Stop()
		}
		select {
		case <-freed:
		case <-timer.C:
			return ErrBudget
		}
	}
}

// Give returns octets that were taken.
func (b *Budget) Give(octets int) {
	b.mu.Lock()
	b.held -= octets
	b.wake()
	b.mu.Unlock()
}

// wake lets all who wait look again. b.mu is held.
func (b *Budget) wake() {
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// Wanted tells whether somebody waits for octets, or has done so in vain since any
// were given back.
func (b *Budget) Wanted() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.freed != nil
}

// Held is how many octets are taken.
func (b *Budget) Held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}
