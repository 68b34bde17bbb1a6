package outbound

import (
	"maps"
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
	bears func(provider string) int // how many connections it may have at once now

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

func newPool(bears func(provider string) int) *pool {
	return &pool{bears: bears, idle: map[string][]*idle{}, sites: map[string][]*idle{}, open: map[string]int{}}
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

// put keeps a connection for a while, unless its provider has too many.
func (p *pool) put(c *client, d time.Duration) {
	many := p.excess(c.provider, 0) > 0
	p.mu.Lock()
	if many || !p.takes(c) {
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
// leave, or an answer too many. Others to its provider end if there are too many.
func (p *pool) take(from map[string][]*idle, key string) *client {
	c := p.last(from, key)
	for c != nil && c.spoke() {
		c.quit()
		c = p.last(from, key)
	}
	if c != nil {
		p.trim(c.provider)
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

// excess is how many connections to a provider there would be too many with some more.
func (p *pool) excess(provider string, more int) int {
	p.mu.Lock()
	n := p.open[provider] + more
	p.mu.Unlock()
	if n <= 1 { // any provider bears one
		return 0
	}
	return n - p.bears(provider)
}

// surplus takes out as many idle connections to a provider as there would be too many with
// some more. Each of them is to be ended by part.
func (p *pool) surplus(provider string, more int) (over []*idle) {
	excess := p.excess(provider, more)
	if excess <= 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
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
	return over
}

func (p *pool) part(i *idle) {
	defer p.farewell.Done()
	i.c.quit()
}

// makeRoom ends idle connections to a provider as long as there are so many open
// that one more would be too many.
func (p *pool) makeRoom(provider string) {
	for _, i := range p.surplus(provider, 1) {
		p.part(i)
	}
}

// trim ends idle connections to a provider that has too many, and does not wait for that.
func (p *pool) trim(provider string) {
	for _, i := range p.surplus(provider, 0) {
		go p.part(i)
	}
}

// fewer does so with every provider, soon: whoever says so may hold what bears asks for.
func (p *pool) fewer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.farewell.Go(p.trimAll)
	}
}

func (p *pool) trimAll() {
	p.mu.Lock()
	providers := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	for _, name := range providers {
		p.trim(name)
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
