package move

import "sync"

// budget is octets of memory that several goroutines share. Whoever waits for
// some holds none, so that it always comes.
type budget struct {
	mu   sync.Mutex
	more *sync.Cond
	left int64
}

func newBudget(octets int64) *budget {
	b := &budget{left: octets}
	b.more = sync.NewCond(&b.mu)
	return b
}

func (b *budget) take(octets int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.left < octets {
		b.more.Wait()
	}
	b.left -= octets
}

func (b *budget) give(octets int64) {
	b.mu.Lock()
	b.left += octets
	b.mu.Unlock()
	b.more.Broadcast()
}
