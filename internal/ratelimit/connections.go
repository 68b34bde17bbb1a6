package ratelimit

import (
	"net/netip"
	"sync"
	"time"
)

// Limits are those of connections; 0 = none.
type Limits struct {
	// Connections at once: in all, from one address (an IPv6 /64), and from the
	// network around it (a /24, an IPv6 /48).
	Total, PerAddress, PerNetwork int
	// New connections in any minute, also all of them at once.
	Rate, RatePerAddress, RatePerNetwork int
}

// Refusal names the limit that a connection is beyond; empty = it is within all.
type Refusal string

// The limits of which one may be reached.
const (
	Total          Refusal = "connections"
	PerAddress     Refusal = "connections_per_address"
	PerNetwork     Refusal = "connections_per_network"
	Rate           Refusal = "connection_rate"
	RatePerAddress Refusal = "connection_rate_per_address"
	RatePerNetwork Refusal = "connection_rate_per_network"
)

// Connections limits connections, in all, per address and per network: those that
// are held at once, and how fast new ones come. Its memory is bounded by the
// connections that are held, and for the rates it is fixed.
type Connections struct {
	start time.Time

	mu          sync.Mutex
	limits      Limits
	held        int
	fromAddress map[uint64]int // held, by the number of the address; never holds a zero
	fromNetwork map[uint64]int // the same of the networks around them
	all         bucket
	addresses   buckets
	networks    buckets
}

// NewConnections returns a counter with limits.
func NewConnections(l Limits) *Connections {
	return &Connections{
		start: time.Now(), limits: l, fromAddress: map[uint64]int{}, fromNetwork: map[uint64]int{},
		addresses: newBuckets(), networks: newBuckets(),
	}
}

// SetLimits changes the limits. Connections already held stay, also beyond a
// smaller limit. Where a rate changes, what came so far is forgotten: a bucket that
// is full by a small rate would be so by a large one.
func (c *Connections) SetLimits(l Limits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.Rate != c.limits.Rate {
		c.all = bucket{}
	}
	if l.RatePerAddress != c.limits.RatePerAddress {
		c.addresses = newBuckets()
	}
	if l.RatePerNetwork != c.limits.RatePerNetwork {
		c.networks = newBuckets()
	}
	c.limits = l
}

// Place is that of one connection among those that are held. The zero Place is
// none. It belongs to one goroutine at a time.
type Place struct {
	c                *Connections
	address, network uint64 // by their numbers; 0 = it does not count there
}

// Spare is how many of who is trusted get in beyond the limit in all: what watches this
// server shall see that it lives while strangers crowd it.
const Spare = 32

// Acquire counts a connection from addr. If a limit is reached nothing is counted.
// An invalid addr (a unix socket has none) counts in all at once only. One that is
// trusted does so and per address: it may speak for many.
func (c *Connections) Acquire(addr netip.Addr, trusted bool) (Place, Refusal) {
	address := Network(addr)
	p := Place{c: c, address: number(address)}
	if address.IsValid() && !trusted {
		p.network = number(Around(address))
	}
	now := time.Since(c.start)
	c.mu.Lock()
	defer c.mu.Unlock()
	room := c.limits.Total
	if trusted && room > 0 {
		room += Spare
	}
	if r := c.crowded(p, room); r != "" {
		return Place{}, r
	}
	if p.network != 0 {
		if r := c.arrive(p, now); r != "" {
			return Place{}, r
		}
		c.fromNetwork[p.network]++
	}
	if p.address != 0 {
		c.fromAddress[p.address]++
	}
	c.held++
	return p, ""
}

// crowded names the limit that leaves no room for a place among so many in all; 0 = any
// number. c.mu is held.
func (c *Connections) crowded(p Place, room int) Refusal {
	l := &c.limits
	switch {
	case room > 0 && c.held >= room:
		return Total
	case l.PerAddress > 0 && p.address != 0 && c.fromAddress[p.address] >= l.PerAddress:
		return PerAddress
	case l.PerNetwork > 0 && p.network != 0 && c.fromNetwork[p.network] >= l.PerNetwork:
		return PerNetwork
	}
	return ""
}

// arrive counts a new connection, or names the rate that it is beyond: what was
// refused does not count, so that who tries again and again gets in at the rate.
// c.mu is held.
func (c *Connections) arrive(p Place, now time.Duration) Refusal {
	l := &c.limits
	address, network := c.addresses.of(p.address), c.networks.of(p.network)
	switch {
	case c.all.full(0, l.Rate, now):
		return Rate
	case address.full(p.address, l.RatePerAddress, now):
		return RatePerAddress
	case network.full(p.network, l.RatePerNetwork, now):
		return RatePerNetwork
	}
	c.all.add(0, l.Rate, now)
	address.add(p.address, l.RatePerAddress, now)
	network.add(p.network, l.RatePerNetwork, now)
	return ""
}

// Release gives the place back; a second call does nothing.
func (p *Place) Release() {
	c := p.c
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
	leave(c.fromAddress, p.address)
	leave(c.fromNetwork, p.network)
	*p = Place{}
}

// leave takes one off a count, if it counts there.
func leave(held map[uint64]int, number uint64) {
	switch {
	case number == 0:
	case held[number] > 1:
		held[number]--
	default:
		delete(held, number)
	}
}

// Held returns the connections held now.
func (c *Connections) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}
