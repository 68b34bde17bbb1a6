package ratelimit

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a counter for tests that says what it answers.
type gate struct {
	*Connections
	t *testing.T
}

// want lets n connections in from an address, or has them refused.
func (g *gate) want(refused Refusal, n int, from string) {
	g.t.Helper()
	for i := range n {
		if _, r := g.Acquire(netip.MustParseAddr(from), false); r != refused {
			g.t.Fatalf("connection %d from %s: refused by %q, want %q", i+1, from, r, refused)
		}
	}
}

func TestConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits      Limits
		first       []string // get in
		over        string   // is one too many
		by          Refusal
		neighbour   string // gets in all the same; empty = nobody does
		afterwards  string // gets in once the first has gone
		withoutAddr bool   // so would a unix socket
	}{
		"in all": {
			limits: Limits{Total: 3}, first: []string{"192.0.2.1", "198.51.100.1", "2001:db8::1"},
			over: "203.0.113.1", by: Total, afterwards: "203.0.113.1",
		},
		"an address": {
			limits: Limits{PerAddress: 2}, first: []string{"192.0.2.1", "192.0.2.1"},
			over: "192.0.2.1", by: PerAddress, neighbour: "192.0.2.2", afterwards: "192.0.2.1", withoutAddr: true,
		},
		"a /64": {
			limits: Limits{PerAddress: 2}, first: []string{"2001:db8::1", "2001:db8::2"},
			over: "2001:db8::3", by: PerAddress, neighbour: "2001:db8:0:1::1", afterwards: "2001:db8::3", withoutAddr: true,
		},
		"a /24": {
			limits: Limits{PerNetwork: 3}, first: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"},
			over: "192.0.2.4", by: PerNetwork, neighbour: "192.0.3.4", afterwards: "192.0.2.5", withoutAddr: true,
		},
		"a /48": {
			limits: Limits{PerNetwork: 2}, first: []string{"2001:db8:1:1::", "2001:db8:1:2::"},
			over: "2001:db8:1:3::", by: PerNetwork, neighbour: "2001:db8:2:1::", afterwards: "2001:db8:1:4::", withoutAddr: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &gate{NewConnections(c.limits), t}
			place, _ := g.Acquire(netip.MustParseAddr(c.first[0]), false)
			for _, from := range c.first[1:] {
				g.want("", 1, from)
			}
			g.want(c.by, 3, c.over)
			if g.Held() != len(c.first) {
				t.Errorf("%d held: what was refused counts", g.Held())
			}
			if c.neighbour != "" {
				g.want("", 1, c.neighbour)
			}
			if _, r := g.Acquire(netip.Addr{}, false); (r == "") != c.withoutAddr {
				t.Errorf("without an address: %q", r)
			}
			place.Release()
			place.Release()
			g.want("", 1, c.afterwards)
			g.want(c.by, 1, c.afterwards)
			g.SetLimits(Limits{})
			g.want("", 100, c.over)
		})
	}
}

func TestConnectionsInAMinute(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits    Limits
		from      []string // in turn, six in all get in
		by        Refusal
		neighbour string // gets in all the same; empty = nobody does
	}{
		"in all":     {Limits{Rate: 6}, []string{"192.0.2.1", "198.51.100.1", "2001:db8::1"}, Rate, ""},
		"an address": {Limits{RatePerAddress: 6}, []string{"192.0.2.1"}, RatePerAddress, "192.0.2.2"},
		"a /64":      {Limits{RatePerAddress: 6}, []string{"2001:db8::1", "2001:db8::2"}, RatePerAddress, "2001:db8:0:1::1"},
		"a /24":      {Limits{RatePerNetwork: 6}, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, RatePerNetwork, "192.0.3.1"},
		"a /48":      {Limits{RatePerNetwork: 6}, []string{"2001:db8:1:1::", "2001:db8:1:2::"}, RatePerNetwork, "2001:db8:2:1::"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := &gate{NewConnections(c.limits), t}
				next := 0
				come := func(n int) {
					t.Helper()
					for range n {
						g.want("", 1, c.from[next%len(c.from)])
						next++
					}
					for _, from := range c.from {
						g.want(c.by, 3, from)
					}
				}
				come(6)
				if c.neighbour != "" {
					g.want("", 6, c.neighbour)
				}
				trusted, r := g.Acquire(netip.MustParseAddr(c.from[0]), true)
				if r != "" {
					t.Errorf("who is trusted: %q", r)
				}
				trusted.Release()
				time.Sleep(10*time.Second - time.Nanosecond)
				g.want(c.by, 1, c.from[0])
				time.Sleep(time.Nanosecond) // a sixth of the minute
				come(1)
				time.Sleep(30 * time.Second)
				come(3)
				time.Sleep(time.Hour) // a long rest earns no more than a minute's worth
				come(6)
				g.SetLimits(Limits{})
				g.want("", 100, c.from[0])
			})
		})
	}
}

// Who is trusted takes nothing from others: neither of the rates nor of what the
// network has. The limit per address holds for him as well, and that in all, beyond
// which some places are his.
func TestTrusted(t *testing.T) {
	t.Parallel()
	g := &gate{NewConnections(Limits{Total: 50, PerAddress: 20, PerNetwork: 5, Rate: 5, RatePerAddress: 5, RatePerNetwork: 5}), t}
	for range 20 {
		if _, r := g.Acquire(netip.MustParseAddr("192.0.2.1"), true); r != "" {
			t.Fatal(r)
		}
	}
	if _, r := g.Acquire(netip.MustParseAddr("192.0.2.1"), true); r != PerAddress {
		t.Errorf("refused by %q, want %q", r, PerAddress)
	}
	g.want("", 5, "192.0.2.2")
	for range 20 {
		if _, r := g.Acquire(netip.MustParseAddr("192.0.2.3"), true); r != "" {
			t.Fatal(r)
		}
	}
	for range 5 {
		if _, r := g.Acquire(netip.Addr{}, false); r != "" {
			t.Fatal(r)
		}
	}
	g.want(Total, 1, "192.0.2.4")
	for range Spare {
		if _, r := g.Acquire(netip.Addr{}, true); r != "" {
			t.Fatal(r)
		}
	}
	if _, r := g.Acquire(netip.MustParseAddr("192.0.2.4"), true); r != Total {
		t.Errorf("refused by %q, want %q", r, Total)
	}
}

// A connection that one limit refuses counts for none of the others.
func TestRefusedCountsNowhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{NewConnections(Limits{Rate: 12, RatePerAddress: 2, RatePerNetwork: 6}), t}
		for range 100 {
			g.want("", 2, "192.0.2.1")
			g.want(RatePerAddress, 10, "192.0.2.1")
			g.want("", 2, "192.0.2.2")
			g.want("", 2, "192.0.2.3")
			g.want(RatePerNetwork, 10, "192.0.2.4")
			for _, from := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3"} {
				g.want("", 2, from)
			}
			g.want(Rate, 10, "203.0.113.1")
			time.Sleep(time.Minute)
		}
	})
}

// Limits that are set again change nothing; another rate counts from the beginning.
func TestSetLimits(t *testing.T) {
	t.Parallel()
	for limit, with := range map[Refusal]func(n int) Limits{
		Rate:           func(n int) Limits { return Limits{Rate: n} },
		RatePerAddress: func(n int) Limits { return Limits{RatePerAddress: n} },
		RatePerNetwork: func(n int) Limits { return Limits{RatePerNetwork: n} },
	} {
		g := &gate{NewConnections(with(3)), t}
		g.want("", 3, "192.0.2.1")
		g.SetLimits(with(3))
		g.want(limit, 1, "192.0.2.1")
		g.SetLimits(with(5))
		g.want("", 5, "192.0.2.1")
		g.want(limit, 1, "192.0.2.1")
	}
}

// Peers choose their addresses: whoever comes from many neither takes memory nor
// makes us forget who comes often.
func TestRatesOfManyNetworks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{NewConnections(Limits{RatePerAddress: 10, RatePerNetwork: 20}), t}
		g.want("", 9, "2001:db8::1")
		for i := range 10 * bucketSets * bucketWays {
			a := [16]byte{0x20, 0x02}
			binary.BigEndian.PutUint32(a[2:], uint32(i))
			place, r := g.Acquire(netip.AddrFrom16(a), false)
			if r != "" {
				t.Fatalf("network %d: %q", i, r)
			}
			place.Release()
		}
		g.want("", 1, "2001:db8::1")
		g.want(RatePerAddress, 1, "2001:db8::1")
		if len(g.fromAddress) != 1 || len(g.fromNetwork) != 1 {
			t.Errorf("%d addresses and %d networks held, want the one that stays", len(g.fromAddress), len(g.fromNetwork))
		}
		if n := len(g.addresses.sets) * bucketWays; n != 1<<14 {
			t.Errorf("%d buckets", n)
		}
	})
}

// An IPv4 network and an IPv6 one of the same digits are two.
func TestNumbersTellFamiliesApart(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	for _, a := range []string{"0.0.0.1", "192.0.2.1", "::1", "::1:0:0:0:0", "0:1:c000:201::", "0:0:c000:201::", "c000:201::"} {
		n := number(Network(netip.MustParseAddr(a)))
		if n == 0 || seen[n] != "" {
			t.Errorf("%s counts as %q", a, seen[n])
		}
		seen[n] = a
	}
}

func TestConnectionsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	c := NewConnections(Limits{Total: 10, PerAddress: 5, PerNetwork: 8, RatePerAddress: 1000, RatePerNetwork: 3000, Rate: 5000})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			addr := netip.AddrFrom4([4]byte{192, 0, byte(i % 2), byte(i % 4)})
			for range 200 {
				place, r := c.Acquire(addr, i%8 == 0)
				// Who is trusted gets in beyond the limit in all, and not beyond that of his address.
				if held := c.Held(); held > 10+5 {
					t.Errorf("%d held", held)
				}
				if r == "" {
					place.Release()
				}
			}
		})
	}
	wg.Wait()
	if c.Held() != 0 || len(c.fromAddress)+len(c.fromNetwork) != 0 {
		t.Errorf("left: %d held, %d addresses, %d networks", c.Held(), len(c.fromAddress), len(c.fromNetwork))
	}
}

// busy limits that a benchmark does not reach.
func busy() *Connections {
	const many = 1 << 30
	return NewConnections(Limits{Total: many, PerAddress: many, PerNetwork: many, Rate: many, RatePerAddress: many, RatePerNetwork: many})
}

func TestConnectionsAllocateNothing(t *testing.T) {
	c := busy()
	addr := netip.MustParseAddr("192.0.2.1")
	if n := testing.AllocsPerRun(1000, func() {
		place, _ := c.Acquire(addr, false)
		place.Release()
	}); n != 0 {
		t.Errorf("%v allocations for a connection", n)
	}
}

func BenchmarkConnections(b *testing.B) {
	c := busy()
	var addrs [256]netip.Addr
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{192, byte(i), 2, 1})
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		place, r := c.Acquire(addrs[i%len(addrs)], false)
		if r != "" {
			b.Fatal(r)
		}
		place.Release()
		i++
	}
}
