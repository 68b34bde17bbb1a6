package outbound

import (
	"sync"
	"time"
)

// Bounds of the connections that are kept without work.
const (
	maxIdlePerKey = 20
	maxIdle       = 500
)

// pool keeps connections between two workers of a site.
type pool struct {
	mu     sync.Mutex
	idle   map[string][]*idle
	count  int
	closed bool
	ending sync.WaitGroup // farewells
}

type idle struct {
	c     *client
	timer *time.Timer
}

func newPool() *pool { return &pool{idle: map[string][]*idle{}} }

// put keeps a connection for a while.
func (p *pool) put(key string, c *client, d time.Duration) {
	p.mu.Lock()
	if p.closed || p.count >= maxIdle || len(p.idle[key]) >= maxIdlePerKey {
		p.mu.Unlock()
		c.quit()
		return
	}
	i := &idle{c: c}
	i.timer = time.AfterFunc(d, func() { p.expire(key, i) })
	p.idle[key] = append(p.idle[key], i)
	p.count++
	p.mu.Unlock()
}

// take returns the connection that was used last, nil if there is none.
func (p *pool) take(key string) *client {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	if len(list) == 0 {
		return nil
	}
	i := list[len(list)-1]
	p.drop(key, len(list)-1)
	i.timer.Stop()
	return i.c
}

// drop takes one out. p.mu is held.
func (p *pool) drop(key string, at int) {
	list := p.idle[key]
	list = append(list[:at:at], list[at+1:]...)
	p.count--
	if len(list) == 0 {
		delete(p.idle, key)
		return
	}
	p.idle[key] = list
}

func (p *pool) expire(key string, i *idle) {
	p.mu.Lock()
	for at, other := range p.idle[key] {
		if other == i {
			p.drop(key, at)
			p.ending.Add(1)
			p.mu.Unlock()
			defer p.ending.Done()
			i.c.quit()
			return
		}
	}
	p.mu.Unlock()
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	all := p.idle
	p.idle, p.count = map[string][]*idle{}, 0
	p.mu.Unlock()
	for _, list := range all {
		for _, i := range list {
			i.timer.Stop()
			p.ending.Go(i.c.quit)
		}
	}
	p.ending.Wait()
}
