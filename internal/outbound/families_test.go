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
	w.o.Close()
	w.o = outbound.New(w.options)
	for _, to := range []string{"a@x.test", "a@x.test", "a@y.test"} {
		w.want(w.send(to), good)
	}
	if got := w.dials(); got != "[2001:db8::1]:25 10.0.0.1:25 10.0.0.1:25 10.0.0.1:25" {
		t.Errorf("dials %s", got)
	}
	r := w.o.Explain(t.Context(), mail.Domain{ASCII: "y.test"})
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
	r := w.o.Explain(t.Context(), mail.Domain{ASCII: "x.test"})
	if h := r.Hosts[0]; strings.Join(h.Addresses, " ") != "10.0.0.1:25" || h.Order != "IPv4 alone, by outbound.ipv6" {
		t.Errorf("%+v", h)
	}
}
