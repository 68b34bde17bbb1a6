package postgres

import (
	"sync"
	"time"
)

// commits are those of which it is not known yet what became of them: a server
// that waits for a standby that is gone answers everything but a COMMIT.
type commits struct {
	mu   sync.Mutex
	open map[int64]time.Time // by mark: when it was sent
}

func (c *commits) sent(mark int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[int64]time.Time{}
	}
	c.open[mark] = at
}

func (c *commits) answered(mark int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, mark)
}

// longest is how long the oldest of them has been under way.
func (c *commits) longest() (waits time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.open {
		waits = max(waits, time.Since(at))
	}
	return waits
}
