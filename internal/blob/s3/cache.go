package s3

import (
	"container/list"
	"sync"

	"github.com/hayauma/hayauma/internal/mail"
)

// entryCost is what an entry of the cache takes beside its octets.
const entryCost = 200

// blockKey names a block of a body. Body ids are never used twice, so that what
// is in the cache stays true wherever the body moves.
type blockKey struct {
	id mail.ID
	n  int
}

// cache holds verified blocks that were read or written lately, as many as fit
// into its size. Nobody changes the octets of a block that is in it.
type cache struct {
	mu    sync.Mutex
	size  int64
	used  int64
	order *list.List // of *cached, the latest first
	items map[blockKey]*list.Element
}

type cached struct {
	key  blockKey
	data []byte
}

func (c *cache) init(size int64) {
	c.size, c.used, c.order, c.items = size, 0, list.New(), map[blockKey]*list.Element{}
}

func (c *cache) get(k blockKey) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[k]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).data, true
}

func (c *cache) put(k blockKey, data []byte) {
	cost := int64(cap(data)) + entryCost
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[k]; ok {
		c.drop(e) // a body that is restored a second time
	}
	if cost > c.size {
		return
	}
	for c.used+cost > c.size {
		c.drop(c.order.Back())
	}
	c.items[k] = c.order.PushFront(&cached{k, data})
	c.used += cost
}

func (c *cache) drop(e *list.Element) {
	old := e.Value.(*cached)
	c.order.Remove(e)
	delete(c.items, old.key)
	c.used -= int64(cap(old.data)) + entryCost
}

// forget drops the blocks of a body of a size.
func (c *cache) forget(id mail.ID, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := range blocksOf(size) {
		if e, ok := c.items[blockKey{id, n}]; ok {
			c.drop(e)
		}
	}
}
