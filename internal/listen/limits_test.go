package listen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/ratelimit"
	"github.com/hayauma/hayauma/internal/testkit"
)

// Every limit is kept at the sockets: two get in, the third hears that it is one
// too many, is counted and logged, and a neighbour gets in all the same.
func TestEveryLimit(t *testing.T) {
	t.Parallel()
	for limit, c := range map[ratelimit.Refusal]struct {
		limits          ratelimit.Limits
		from, neighbour string
	}{
		ratelimit.Total:          {ratelimit.Limits{Total: 2}, "192.0.2.1 198.51.100.1 203.0.113.1", ""},
		ratelimit.PerAddress:     {ratelimit.Limits{PerAddress: 2}, "192.0.2.1 192.0.2.1 192.0.2.1", "192.0.2.2"},
		ratelimit.PerNetwork:     {ratelimit.Limits{PerNetwork: 2}, "192.0.2.1 192.0.2.2 192.0.2.3", "192.0.3.1"},
		ratelimit.Rate:           {ratelimit.Limits{Rate: 2}, "192.0.2.1 198.51.100.1 203.0.113.1", ""},
		ratelimit.RatePerAddress: {ratelimit.Limits{RatePerAddress: 2}, "192.0.2.1 192.0.2.1 192.0.2.1", "192.0.2.2"},
		ratelimit.RatePerNetwork: {ratelimit.Limits{RatePerNetwork: 2}, "192.0.2.1 192.0.2.2 192.0.2.3", "192.0.3.1"},
	} {
		t.Run(string(limit), func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewRegistry()
			g, out := newGroup(t, Options{Limits: ratelimit.NewConnections(c.limits), Proxies: loopback, Metrics: NewMetrics(registry)})
			start(t, g, service("smtp", "127.0.0.1:0"))
			from := func(peer string) *client {
				c := dial(t, first(g))
				c.send("PROXY TCP4 " + peer + " 192.0.2.254 1 25\r\n")
				return c
			}
			peers := strings.Fields(c.from)
			for _, peer := range peers[:2] {
				one := from(peer)
				one.want("hello " + peer)
				if c.limits.Rate+c.limits.RatePerAddress+c.limits.RatePerNetwork > 0 {
					// A rate counts who has gone as well.
					_ = one.Close()
					testkit.Eventually(t, 5*time.Second, "its end", func() bool { return g.o.Limits.Held() == 0 })
				}
			}
			last := from(peers[2])
			last.want("421 busy\r\n")
			last.wantEnd()
			if got := counted(t, registry); got != "limit="+string(limit)+" service=smtp 1" {
				t.Errorf("counted: %s", got)
			}
			if !out.has("limit=" + string(limit) + " refused=1") {
				t.Error("not in the log")
			}
			if c.neighbour != "" {
				from(c.neighbour).want("hello " + c.neighbour)
			}
		})
	}
}

// counted is what a registry has, in one line.
func counted(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				out = append(out, l.GetName()+"="+l.GetValue())
			}
			out = append(out, fmt.Sprint(m.GetCounter().GetValue()))
		}
	}
	return strings.Join(out, " ")
}

// inMemory serves on a listener in the bubble of the test.
func inMemory(t *testing.T, o Options) (*testkit.MemListener, *log) {
	t.Helper()
	g, out := newGroup(t, o)
	ln := testkit.NewMemListener(netip.MustParseAddrPort("192.0.2.254:25"))
	s := &socket{key: "memory", network: "tcp", ln: ln, closed: make(chan struct{})}
	srv := service("smtp")
	s.service.Store(&srv)
	g.sockets = []*socket{s}
	g.busy.Go(func() { g.accept(s) })
	return ln, out
}

// greeting connects and returns the first line.
func greeting(t *testing.T, ln *testkit.MemListener, from string) string {
	t.Helper()
	c, err := ln.DialFrom(t.Context(), netip.MustParseAddr(from))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // the session ends by it
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return line
}

// Who was too fast gets in again with time, others all the while; the log tells of
// a flood once in ten seconds.
func TestRatesRecover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ln, out := inMemory(t, Options{Limits: ratelimit.NewConnections(ratelimit.Limits{RatePerNetwork: 60})})
		flood := func() (served int) {
			t.Helper()
			for i := range 200 {
				line := greeting(t, ln, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String())
				switch {
				case strings.HasPrefix(line, "hello "):
					served++
				case line != "421 busy\r\n":
					t.Fatalf("%q", line)
				}
			}
			if line := greeting(t, ln, "192.0.3.1"); !strings.HasPrefix(line, "hello 192.0.3.1") {
				t.Errorf("a neighbour: %q", line)
			}
			return served
		}
		for second, want := range []int{60, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1} {
			if n := flood(); n != want {
				t.Errorf("after %d seconds %d are served, want %d", second, n, want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if n := flood(); n != 60 {
			t.Errorf("after a minute's rest %d are served", n)
		}
		if n := out.count("too many connections"); n != 3 {
			t.Errorf("%d lines in the log, want 3", n)
		}
	})
}

func TestTrustedPeersComeAsFastAsTheyLike(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := ratelimit.Limits{PerNetwork: 1, Rate: 1, RatePerAddress: 1, RatePerNetwork: 1}
		ln, _ := inMemory(t, Options{
			Limits:  ratelimit.NewConnections(one),
			Trusted: func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.1") },
		})
		for range 100 {
			if line := greeting(t, ln, "192.0.2.1"); !strings.HasPrefix(line, "hello ") {
				t.Fatalf("%q", line)
			}
		}
		if line := greeting(t, ln, "192.0.2.2"); !strings.HasPrefix(line, "hello ") {
			t.Errorf("who is trusted uses up what others have: %q", line)
		}
		if line := greeting(t, ln, "192.0.2.2"); line != "421 busy\r\n" {
			t.Errorf("%q", line)
		}
	})
}

// TestProxiesByLink: the zone of an address says by which interface it came, and no
// network has one.
func TestProxiesByLink(t *testing.T) {
	t.Parallel()
	g, _ := newGroup(t, Options{Proxies: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("fe80::/10")} }})
	for addr, want := range map[string]bool{"fe80::1%eth0": true, "fe80::1": true, "2001:db8::1": false} {
		if got := g.isProxy(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if g.isProxy(netip.Addr{}) {
		t.Error("a unix socket is a proxy")
	}
}
