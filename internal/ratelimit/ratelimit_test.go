package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
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
func blocked(f *Failures, addr netip.Addr) bool {
	end, err := f.Begin(context.Background(), addr)
	if err == nil {
		end(false)
	}
	return errors.Is(err, ErrBlocked)
}

func TestFailuresSlide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := netip.MustParseAddr("192.0.2.1")
		f := NewFailures(3)
		for range 3 {
			if blocked(f, a) {
				t.Fatal("blocked too early")
			}
			f.record(Network(a))
			time.Sleep(time.Minute)
		}
		if !blocked(f, a) {
			t.Fatal("not blocked after three failures")
		}
		if blocked(f, netip.MustParseAddr("192.0.2.2")) {
			t.Fatal("a neighbour is blocked")
		}
		time.Sleep(7*time.Minute - time.Nanosecond)
		if !blocked(f, a) {
			t.Fatal("free before ten minutes")
		}
		time.Sleep(time.Nanosecond)
		if blocked(f, a) {
			t.Fatal("still blocked when the first failure is ten minutes old")
		}
		f.record(Network(a))
		if !blocked(f, a) {
			t.Fatal("the failures left do not count")
		}
		time.Sleep(window)
		if blocked(f, a) || len(f.byNetwork) != 0 || f.stored != 0 {
			t.Fatal("old failures are kept")
		}
	})
}

func TestFailuresOff(t *testing.T) {
	t.Parallel()
	a := netip.MustParseAddr("2001:db8::1")
	f := NewFailures(0)
	for range 100 {
		f.record(Network(a))
	}
	if blocked(f, a) || f.stored != 0 {
		t.Error("0 means never")
	}
	f.SetLimit(1)
	f.record(Network(a))
	f.record(Network(netip.Addr{}))
	if !blocked(f, netip.MustParseAddr("2001:db8::ffff")) {
		t.Error("the /64 is not blocked")
	}
	if blocked(f, netip.Addr{}) {
		t.Error("no address is blocked")
	}
	f.SetLimit(0)
	if blocked(f, a) {
		t.Error("blocked after the limit was lifted")
	}
}

func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFailures(2)
		first, last := netip.AddrFrom4([4]byte{10, 0, 0, 0}), netip.Addr{}
		f.record(Network(first))
		f.record(Network(first))
		for i := range 2 * maxFailures {
			last = netip.AddrFrom4([4]byte{10, 1 + byte(i>>16), byte(i >> 8), byte(i)})
			f.record(Network(last))
		}
		f.record(Network(last))
		if f.stored > maxFailures || len(f.byNetwork) > maxFailures || f.recent.Len() != len(f.byNetwork) {
			t.Errorf("%d failures of %d networks", f.stored, len(f.byNetwork))
		}
		if blocked(f, first) || !blocked(f, last) {
			t.Error("the oldest must be forgotten, the latest kept")
		}
		time.Sleep(window)
		f.record(Network(first))
		if len(f.byNetwork) != 1 {
			t.Errorf("%d networks after all but one expired", len(f.byNetwork))
		}
		f.SetLimit(10 * maxFailures)
		for range 2 * maxFailures {
			f.record(Network(first))
		}
		if f.stored > maxFailures || !blocked(f, first) {
			t.Errorf("%d failures of one network", f.stored)
		}
	})
}

// The counter answers like a plain list of all failures.
func TestFailuresLikeAModel(t *testing.T) {
	t.Parallel()
	type step struct {
		wait time.Duration
		addr netip.Addr
		fail bool
	}
	steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
		return step{
			wait: time.Duration(rapid.IntRange(0, 300).Draw(rt, "wait")) * time.Second,
			addr: netip.AddrFrom4([4]byte{192, 0, 2, rapid.ByteRange(0, 2).Draw(rt, "addr")}),
			fail: rapid.Bool().Draw(rt, "fail"),
		}
	}), 1, 60)
	rapid.Check(t, func(rt *rapid.T) {
		limit, plan := rapid.IntRange(1, 4).Draw(rt, "limit"), steps.Draw(rt, "steps")
		wrong := -1
		synctest.Test(t, func(*testing.T) {
			f := NewFailures(limit)
			model := map[netip.Addr][]time.Time{}
			for i, s := range plan {
				time.Sleep(s.wait)
				count := 0
				for _, at := range model[s.addr] {
					if time.Since(at) < window {
						count++
					}
				}
				if blocked(f, s.addr) != (count >= limit) {
					wrong = i
					return
				}
				if s.fail {
					f.record(Network(s.addr))
					model[s.addr] = append(model[s.addr], time.Now())
				}
			}
		})
		if wrong >= 0 {
			rt.Fatalf("step %d: the answer differs from the model", wrong)
		}
	})
}
