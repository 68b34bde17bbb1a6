package outbound

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestDialFrom: a connection comes from the address that it was asked for, by IPv4
// and IPv6; one that the machine does not have is told from a host that refuses.
func TestDialFrom(t *testing.T) {
	t.Parallel()
	for from, at := range map[string]string{"127.0.0.81": "127.0.0.1:0", "::1": "[::1]:0"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", at)
		if err != nil {
			t.Logf("no %s here: %v", at, err)
			continue
		}
		conn, err := dialFrom(t.Context(), netip.MustParseAddr(from), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if got := localOf(conn); got.String() != from || conn.LocalAddr().(*net.TCPAddr).Port == 0 {
			t.Errorf("it comes from %v, want %s", conn.LocalAddr(), from)
		}
		_ = conn.Close()
		_ = l.Close()
		if _, err := dialFrom(t.Context(), netip.MustParseAddr(from), "tcp", l.Addr().String()); err == nil || unbound(err) {
			t.Errorf("a host that refuses: %v", err)
		}
	}
	_, err := dialFrom(t.Context(), netip.MustParseAddr("192.0.2.77"), "tcp", "127.0.0.1:1")
	if err == nil || !unbound(err) {
		t.Errorf("an address that nobody has: %v", err)
	}
	if missed, here := noWay(os.NewSyscallError("connect", syscall.ENETUNREACH)); !missed || !here {
		t.Error("a network without a way")
	}
	d := net.Dialer{Deadline: time.Now().Add(-time.Second)}
	if _, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
		t.Error("a time limit that is over")
	} else if missed, here := noWay(err); !missed || here {
		t.Errorf("a time-out of the dialer is not told: %v", err)
	}
}
