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
)

func call(name string, errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(name, errno)}
}

// TestFamiliesRemember: a family by which there was no way is behind the other one
// for a while, at one host or everywhere, until it works.
func TestFamiliesRemember(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)
	f := newFamilies()
	f.now = func() time.Time { return now }
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	addrs := []netip.Addr{four, netip.MustParseAddr("192.0.2.2"), six, netip.MustParseAddr("2001:db8::2")}
	order := func(host string) string {
		list, why := f.order(host, addrs)
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
		f.note("a", six, err)
		want("a", usual)
	}
	f.note("a", six, context.DeadlineExceeded)
	want("a", behind6+" IPv6 last until 08:05 UTC: timed out")
	want("b", usual)
	now = now.Add(5 * time.Minute)
	want("a", usual)
	f.note("a", six, call("connect", syscall.EHOSTUNREACH))
	f.note("a", six, context.DeadlineExceeded) // by another worker
	want("a", behind6+" IPv6 last until 08:15 UTC: no route to host")
	f.note("a", four, os.ErrDeadlineExceeded)
	want("a", usual) // both alike
	f.note("a", six, nil)
	want("a", behind4+" IPv4 last until 08:10 UTC: timed out")
	f.note("a", four, nil)
	want("a", usual)
	// No route at all: every host is concerned, and one that works lifts it.
	for range 20 {
		f.note("a", six, call("connect", syscall.ENETUNREACH))
		now = now.Add(behindLongest)
	}
	now = now.Add(-time.Minute)
	want("b", behind6+" IPv6 last until "+now.Add(time.Minute).Format("15:04")+" UTC: no route to host")
	f.note("c", six, nil)
	want("b", usual)
	for i := range 2 * maxBehind {
		f.note(fmt.Sprint(i), six, context.DeadlineExceeded)
	}
	if len(f.hosts) > maxBehind {
		t.Errorf("%d hosts are remembered", len(f.hosts))
	}
	if list, why := f.order("a", addrs[:2]); len(list) != 2 || why != "" {
		t.Errorf("of one family: %v %q", list, why)
	}
}
