package outbound

import (
	"slices"
	"sync"
	"time"
)

// Bounds of the connections that are kept without work.
const (
	maxIdlePerHost = 20
	maxIdle        = 500
)

// pool keeps connections between two workers, and counts those that are open.
type pool struct {
	mu       sync.Mutex
	idle     map[string][]*idle // by host, or route and host, and pool of source addresses
	sites    map[string][]*idle // the same, by the site that they served last
	count    int
	open     map[string]int // by provider, idle ones too
	closed   bool
	farewell sync.WaitGroup
}

type idle struct {
	c     *client
	timer *time.Timer
}

func newPool() *pool {
	return &pool{idle: map[string][]*idle{}, sites: map[string][]*idle{}, open: map[string]int{}}
}

// opened counts a new connection until it ends.
func (p *pool) opened(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c.provider]++
	c.ended = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open[c.provider]--; p.open[c.provider] == 0 {
			delete(p.open, c.provider)
		}
	}
}

// put keeps a connection for a while.
func (p *pool) put(c *client, d time.Duration) {
	p.mu.Lock()
	if !p.takes(c) {
		p.mu.Unlock()
		c.quit()
		return
	}
	i := &idle{c: c}
	i.timer = time.AfterFunc(d, func() { p.expire(i) })
	p.idle[c.hostKey()] = append(p.idle[c.hostKey()], i)
	p.sites[c.siteKey()] = append(p.sites[c.siteKey()], i)
	p.count++
	p.mu.Unlock()
}

// takes tells whether a connection is kept: one that is in the clear because TLS failed
// is not, or all sites of its host would go that way. p.mu is held.
func (p *pool) takes(c *client) bool {
	return !p.closed && c.fellBack == "" && p.count < maxIdle && len(p.idle[c.hostKey()]) < maxIdlePerHost
}

// room tells whether the pool would keep a connection now.
func (p *pool) room(c *client) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.takes(c)
}

// takeSite returns the connection that served a site last, by its poolKey, nil if
// none is kept.
func (p *pool) takeSite(key string) *client { return p.take(p.sites, key) }

// takeHost returns the connection to a host that was used last, by its poolKey, nil
// if none is kept.
func (p *pool) takeHost(key string) *client { return p.take(p.idle, key) }

// take passes over those on which the host has said something meanwhile: that it takes
// leave, or an answer too many.
func (p *pool) take(from map[string][]*idle, key string) *client {
	c := p.last(from, key)
	for c != nil && c.spoke() {
		c.quit()
		c = p.last(from, key)
	}
	return c
}

func (p *pool) last(from map[string][]*idle, key string) *client {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := from[key]
	if len(list) == 0 {
		return nil
	}
	i := list[len(list)-1]
	p.drop(i)
	i.timer.Stop()
	return i.c
}

// drop takes one out; false if it is not there any more. p.mu is held.
func (p *pool) drop(i *idle) bool {
	if !without(p.idle, i.c.hostKey(), i) {
		return false
	}
	without(p.sites, i.c.siteKey(), i)
	p.count--
	return true
}

func without(m map[string][]*idle, key string, i *idle) bool {
	list := m[key]
	at := slices.Index(list, i)
	if at < 0 {
		return false
	}
	if len(list) == 1 {
		delete(m, key)
		return true
	}
	m[key] = slices.Delete(list, at, at+1)
	return true
}

func (p *pool) expire(i *idle) {
	p.mu.Lock()
	if !p.drop(i) {
		p.mu.Unlock()
		return
	}
	p.farewell.Add(1)
	p.mu.Unlock()
	defer p.farewell.Done()
	i.c.quit()
}

// makeRoom ends idle connections to a provider as long as there are so many open
// that one more would be too many.
func (p *pool) makeRoom(provider string, most int) {
	p.mu.Lock()
	var over []*idle
	excess := p.open[provider] - most + 1
	if excess <= 0 {
		p.mu.Unlock()
		return
	}
	for _, list := range p.idle {
		for _, i := range list {
			if i.c.provider == provider && len(over) < excess {
				over = append(over, i)
			}
		}
	}
	for _, i := range over {
		p.drop(i)
		i.timer.Stop()
	}
	p.farewell.Add(len(over))
	p.mu.Unlock()
	for _, i := range over {
		i.c.quit()
		p.farewell.Done()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	all := p.idle
	p.idle, p.sites, p.count = map[string][]*idle{}, map[string][]*idle{}, 0
	p.mu.Unlock()
	for _, list := range all {
		for _, i := range list {
			i.timer.Stop()
			p.farewell.Go(i.c.quit)
		}
	}
	p.farewell.Wait()
}
