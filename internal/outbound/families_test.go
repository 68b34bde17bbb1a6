package outbound_test

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestNoRouteByIPv6: a machine without IPv6 asks no host by it first again and again,
// and explain says so.
func TestNoRouteByIPv6(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "y.test. 60 MX 10 mx.y.test.", "mx.y.test. 60 A 10.0.0.1", "mx.y.test. 60 AAAA 2001:db8::2")
	w.mx(testkit.MXOptions{})
	w.dns.Add("mx.x.test. 60 AAAA 2001:db8::1")
	w.options.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "[") {
			_, _ = w.dial(ctx, network, addr) // notes it
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
		}
		return w.dial(ctx, network, addr)
	}
	w.options.Internet = func(bool) error { return syscall.ENETUNREACH }
	w.o.Close()
	w.o = outbound.New(w.options)
	for _, to := range []string{"a@x.test", "a@x.test", "a@y.test"} {
		w.want(w.send(to), good)
	}
	if got := w.dials(); got != "[2001:db8::1]:25 10.0.0.1:25 10.0.0.1:25 10.0.0.1:25" {
		t.Errorf("dials %s", got)
	}
	r := w.o.Explain(t.Context(), mail.Domain{ASCII: "y.test"}, "")
	if h := r.Hosts[0]; strings.Join(h.Addresses, " ") != "10.0.0.1:25 [2001:db8::2]:25" || !strings.HasPrefix(h.Order, "IPv6 last until ") {
		t.Errorf("%+v", h)
	}
}

func ipv4Only(w *world) { w.set.IPv4Only = true }

// TestIPv4Only: a host with an IPv4 address is not asked for others.
func TestIPv4Only(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 AAAA 2001:db8::1")
	ipv4Only(w)
	w.mx(testkit.MXOptions{})
	w.want(w.send("a@x.test"), good)
	for _, q := range w.dns.Queries() {
		if q.Type == "AAAA" {
			t.Errorf("asked %+v", q)
		}
	}
	r := w.o.Explain(t.Context(), mail.Domain{ASCII: "x.test"}, "")
	if h := r.Hosts[0]; strings.Join(h.Addresses, " ") != "10.0.0.1:25" || h.Order != "IPv4 alone, by outbound.ipv6" {
		t.Errorf("%+v", h)
	}
}

// TestAStrangersAddress: a host that names what no machine can have, or where there is no way
// to, says nothing of the family elsewhere; one that has nothing else is told so.
func TestAStrangersAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "y.test. 60 MX 10 mx.y.test.", "mx.y.test. 60 A 10.0.0.1", "mx.y.test. 60 AAAA 2001:db8::2",
		"evil.test. 60 MX 10 mx.evil.test.", "mx.evil.test. 60 A 10.0.0.1", "mx.evil.test. 60 AAAA ff0e::1", "mx.evil.test. 60 AAAA 2001:db8::66",
		"none.test. 60 AAAA ff0e::1", "none.test. 60 A 0.0.0.0")
	w.mx(testkit.MXOptions{})
	w.options.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "[") {
			_, _ = w.dial(ctx, network, addr) // notes it
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
		}
		return w.dial(ctx, network, addr)
	}
	w.options.Internet = func(bool) error { return nil }
	w.o.Close()
	w.o = outbound.New(w.options)
	w.want(w.send("a@evil.test"), good)
	w.want(w.send("a@none.test"), "failed 550 5.4.4 ours")
	if got := w.dials(); got != "[2001:db8::66]:25 10.0.0.1:25" {
		t.Errorf("dials %s", got)
	}
	for site, want := range map[string]string{"y.test": "[2001:db8::2]:25 10.0.0.1:25 ", "evil.test": "10.0.0.1:25 [2001:db8::66]:25 "} {
		h := w.o.Explain(t.Context(), mail.Domain{ASCII: site}, "").Hosts[0]
		if got := strings.Join(h.Addresses, " ") + " "; got != want {
			t.Errorf("%s: %s", site, got)
		}
	}
	r := w.o.Explain(t.Context(), mail.Domain{ASCII: "none.test"}, "")
	if want := "550 5.4.4 The mail exchanger none.test has no address that a machine can have"; r.Reply != want || r.Hosts[0].Fault != want {
		t.Errorf("%+v", r)
	}
}

// TestNoIPv6BehindAProxy: a proxy that does not reach a host by IPv6 is asked for that last
// the next time.
func TestNoIPv6BehindAProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1", "mx.x.test. 60 AAAA 2001:db8::1")
	m := testkit.StartMX(t, testkit.MXOptions{})
	p := testkit.StartProxy(t, map[string]string{"10.0.0.1:25": m.Addr})
	w.routes[p.Addr] = p.Addr
	w.set.Proxy = "socks5://" + p.Addr
	for range 3 {
		w.want(w.send("a@x.test"), good)
	}
	if got := strings.Join(p.Asked(), " "); got != "[2001:db8::1]:25 10.0.0.1:25 10.0.0.1:25 10.0.0.1:25" {
		t.Errorf("the proxy was asked for %s", got)
	}
}
