package app

import (
	"net/netip"
	"testing"
)

// TestAmong: a host of a link is in the network of that link, whatever its interface.
func TestAmong(t *testing.T) {
	t.Parallel()
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")}
	for addr, want := range map[string]bool{"192.0.2.1": true, "192.0.3.1": false, "fe80::1%eth0": true, "2001:db8::1": false} {
		if got := among(networks, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if among(networks, netip.Addr{}) {
		t.Error("a unix socket is among them")
	}
}
