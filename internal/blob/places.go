package blob

import (
	"sync"

	"github.com/hayauma/hayauma/internal/mail"
)

// placesHalf is how many places each half of Places holds.
const placesHalf = 8192

// Places is for stores: it remembers where recent bodies lie, so that relaying
// mail that has just come in reads no row. It has two halves: when the young one
// is full it becomes the old one, and what nobody asked for is forgotten. The
// zero value is empty. It may be used by many goroutines.
type Places[P any] struct {
	mu         sync.Mutex
	young, old map[mail.ID]P
}

// Put remembers a place.
func (c *Places[P]) Put(id mail.ID, p P) {
	c.mu.Lock()
	c.put(id, p)
	c.mu.Unlock()
}

func (c *Places[P]) put(id mail.ID, p P) {
	if len(c.young) >= placesHalf || c.young == nil {
		c.old, c.young = c.young, make(map[mail.ID]P, 64)
	}
	c.young[id] = p
}

// Get returns a place that is remembered, and remembers it for longer.
func (c *Places[P]) Get(id mail.ID) (P, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.young[id]; ok {
		return p, true
	}
	p, ok := c.old[id]
	if ok {
		c.put(id, p)
	}
	return p, ok
}

// Forget forgets the place of a body.
func (c *Places[P]) Forget(id mail.ID) {
	c.mu.Lock()
	delete(c.young, id)
	delete(c.old, id)
	c.mu.Unlock()
}

// Clear forgets all places.
func (c *Places[P]) Clear() {
	c.mu.Lock()
	c.young, c.old = nil, nil
	c.mu.Unlock()
}
