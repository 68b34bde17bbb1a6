package ratelimit

import (
	"net/netip"
	"sync"
)

// Connections limits connections at once, in all and per address. Its memory is
// bounded by the connections that are held.
type Connections struct {
	mu         sync.Mutex
	total      int // limit in all; 0 = none
	perAddress int // limit per address; 0 = none
	held       int
	byNetwork  map[netip.Prefix]int // never holds a zero
}

// NewConnections returns a counter with a limit in all and one per address; 0 = no limit.
func NewConnections(total, perAddress int) *Connections {
	return &Connections{total: total, perAddress: perAddress, byNetwork: map[netip.Prefix]int{}}
}

// SetLimits changes the limits. Connections already held stay, also beyond a
// smaller limit.
func (c *Connections) SetLimits(total, perAddress int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total, c.perAddress = total, perAddress
}

// Acquire counts a connection from addr. If a limit is reached, ok is false and
// nothing is counted. Else release gives the place back; a second call does
// nothing. An invalid addr (a unix socket has none) counts in all only.
func (c *Connections) Acquire(addr netip.Addr) (release func(), ok bool) {
	network := Network(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total > 0 && c.held >= c.total {
		return func() {}, false
	}
	if network.IsValid() {
		if c.perAddress > 0 && c.byNetwork[network] >= c.perAddress {
			return func() {}, false
		}
		c.byNetwork[network]++
	}
	c.held++
	return sync.OnceFunc(func() { c.release(network) }), true
}

// release gives one place back.
func (c *Connections) release(network netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
	if !network.IsValid() {
		return
	}
	c.byNetwork[network]--
	if c.byNetwork[network] == 0 {
		delete(c.byNetwork, network)
	}
}

// Held returns the connections held now.
func (c *Connections) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}
