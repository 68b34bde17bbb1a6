package ratelimit

import (
	"net/netip"
	"sync"
	"testing"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"192.0.2.7":              "192.0.2.7/32",
		"::ffff:192.0.2.7":       "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1:2::/64",
		"fe80::1%eth0":           "fe80::/64",
		"2001:db8:1:2:ffff::abc": "2001:db8:1:2::/64",
	}
	for in, want := range cases {
		if got := Network(netip.MustParseAddr(in)).String(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("no address has a network")
	}
}

func TestConnectionsLimits(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	other := netip.MustParseAddr("192.0.2.1")
	c := NewConnections(3, 2)
	releaseA, ok := c.Acquire(a)
	if !ok {
		t.Fatal("first refused")
	}
	if _, ok := c.Acquire(b); !ok {
		t.Fatal("second of the /64 refused")
	}
	if _, ok := c.Acquire(a); ok {
		t.Fatal("third of the /64 accepted")
	}
	if _, ok := c.Acquire(other); !ok {
		t.Fatal("other address refused")
	}
	if _, ok := c.Acquire(netip.Addr{}); ok {
		t.Fatal("more than the limit in all accepted")
	}
	releaseA()
	releaseA()
	if c.Held() != 2 {
		t.Fatalf("held %d after a release called twice, want 2", c.Held())
	}
	if _, ok := c.Acquire(netip.Addr{}); !ok {
		t.Fatal("a free place was refused")
	}
	c.SetLimits(0, 0)
	for range 100 {
		if _, ok := c.Acquire(a); !ok {
			t.Fatal("0 means no limit")
		}
	}
}

func TestConnectionsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	c := NewConnections(10, 5)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 4)})
			for range 200 {
				release, ok := c.Acquire(addr)
				if held := c.Held(); held > 10 {
					t.Errorf("%d held", held)
				}
				if ok {
					release()
				}
			}
		})
	}
	wg.Wait()
	if c.Held() != 0 || len(c.byNetwork) != 0 {
		t.Errorf("left: %d held, %d networks", c.Held(), len(c.byNetwork))
	}
}

// blocked asks while nothing is under way, when Begin never waits.
// The counter answers like a plain list of all failures.
