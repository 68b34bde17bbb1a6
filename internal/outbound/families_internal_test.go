package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
)

func call(name string, errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(name, errno)}
}

// TestFamiliesRemember: a family by which there was no way is behind the other one
// for a while, at one host or everywhere, until it works.
func TestFamiliesRemember(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)
	offline := true
	f := newFamilies(func(bool) error {
		if offline {
			return syscall.ENETUNREACH
		}
		return nil
	})
	f.now = func() time.Time { return now }
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	addrs := []netip.Addr{four, netip.MustParseAddr("192.0.2.2"), six, netip.MustParseAddr("2001:db8::2")}
	order := func(host string) string {
		list, why := f.order("", host, addrs)
		var out strings.Builder
		for _, a := range list {
			fmt.Fprintf(&out, "%v", way{six: a.Is6()}.String()[3:])
		}
		return strings.TrimSpace(out.String() + " " + why)
	}
	const usual, behind4, behind6 = "6464", "6644", "4466"
	want := func(host, want string) {
		t.Helper()
		if got := order(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	want("a", usual)
	for _, err := range []error{call("connect", syscall.ECONNREFUSED), call("connect", syscall.ECONNRESET), context.Canceled, io.EOF,
		call("bind", syscall.EADDRNOTAVAIL), errors.New("other")} {
		f.note(way{"", "a", true}, err)
		want("a", usual)
	}
	f.note(way{"", "a", true}, context.DeadlineExceeded)
	want("a", behind6+" IPv6 last until 08:05 UTC: timed out")
	want("b", usual)
	now = now.Add(5 * time.Minute)
	want("a", usual)
	f.note(way{"", "a", true}, call("connect", syscall.EHOSTUNREACH))
	f.note(way{"", "a", true}, context.DeadlineExceeded) // by another worker
	want("a", behind6+" IPv6 last until 08:15 UTC: no route to host")
	f.note(way{"", "a", false}, os.ErrDeadlineExceeded)
	want("a", usual) // both alike
	f.note(way{"", "a", true}, nil)
	want("a", behind4+" IPv4 last until 08:10 UTC: timed out")
	f.note(way{"", "a", false}, nil)
	want("a", usual)
	// No route at all: every host is concerned, and one that works lifts it.
	for range 20 {
		f.note(way{"", "a", true}, call("connect", syscall.ENETUNREACH))
		now = now.Add(behindLongest)
	}
	now = now.Add(-time.Minute)
	want("b", behind6+" IPv6 last until "+now.Add(time.Minute).Format("15:04")+" UTC: no route to host")
	f.note(way{"", "c", true}, nil)
	want("b", usual)
	// No route to one address, while there is one to others, is about its host alone.
	offline = false
	f.note(way{"", "d", true}, call("connect", syscall.ENETUNREACH))
	want("b", usual)
	want("d", behind6+" IPv6 last until "+now.Add(5*time.Minute).Format("15:04")+" UTC: no route to host")
	for i := range 2 * maxBehind {
		f.note(way{"", fmt.Sprint(i), true}, context.DeadlineExceeded)
	}
	if len(f.hosts) > maxBehind {
		t.Errorf("%d hosts are remembered", len(f.hosts))
	}
	if list, why := f.order("", "a", addrs[:2]); len(list) != 2 || why != "" {
		t.Errorf("of one family: %v %q", list, why)
	}
}

// TestFamiliesBehindAProxy: a family by which a proxy did not reach a host is behind the
// other one there, once that has worked; of all hosts, if the proxy says that it does not
// know the family.
func TestFamiliesBehindAProxy(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)
	f := newFamilies(internet)
	f.now = func() time.Time { return now }
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	want := func(by, host, want string) {
		t.Helper()
		if list, why := f.order(by, host, addrs); strings.TrimSpace(list[0].String()+" "+why) != want {
			t.Errorf("%s by %q: first %s, %s; want %s", host, by, list[0], why, want)
		}
	}
	const usual, behind6 = "2001:db8::1", "192.0.2.1 IPv6 last until "
	refused := errors.New("general SOCKS server failure")
	f.note(way{"p", "a", true}, refused)
	want("p", "a", usual) // the proxy may be ill
	f.note(way{"p", "a", false}, refused)
	now = now.Add(behindFirst)
	f.note(way{"p", "a", false}, nil)
	want("p", "a", usual) // that was long ago
	f.note(way{"p", "a", true}, refused)
	f.note(way{"p", "a", false}, nil)
	want("p", "a", behind6+"08:10 UTC: general SOCKS server failure")
	want("", "a", usual)
	want("q", "a", usual)
	want("p", "b", usual)
	now = now.Add(behindFirst)
	f.note(way{"p", "a", true}, refused)
	f.note(way{"p", "a", false}, nil)
	want("p", "a", behind6+"08:20 UTC: general SOCKS server failure")
	f.note(way{"p", "a", true}, nil)
	want("p", "a", usual)
	f.note(way{"p", "a", true}, dnsx.ErrProxyFamily)
	f.note(way{"p", "a", false}, nil)
	want("p", "b", behind6+"08:15 UTC: the proxy knows no addresses of this family")
	want("", "b", usual)
}

// TestUnicast: what no machine can have as its address is not connected to.
func TestUnicast(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"192.0.2.1": true, "127.0.0.1": true, "10.0.0.1": true, "169.254.1.1": true, "2001:db8::1": true, "::1": true, "fd00::1": true,
		"0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "::": false, "ff0e::1": false, "ff02::1": false, "fe80::1": false,
	} {
		if got := unicast(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
