package dnsx_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// TestDialerStaysOutside: an address that a stranger gives leads to the Internet, or to
// a network that was named, and nowhere else.
func TestDialerStaysOutside(t *testing.T) {
	t.Parallel()
	own := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.2/32")}
	for address, want := range map[string]bool{
		"192.0.2.1": true, "8.8.8.8": true, "2001:db8::1": true, "64:ff9b::808:808": true, "2002:808:808::1": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false,
		"10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "fd00::1": false, "fec0::1": false,
		"100.64.0.1": false, "169.254.169.254": false, "fe80::1": false, "224.0.0.1": false, "ff02::1": false, "240.0.0.1": false, "255.255.255.255": false,
		"64:ff9b::a00:1": false, "64:ff9b:1::808:808": false, "2002:7f00:1::1": false,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "127.0.0.2": true, "10.2.0.1": false,
	} {
		reached := false
		d := dnsx.Dialer{Public: true, Own: func() []netip.Prefix { return own }, Dial: func(context.Context, string, string) (net.Conn, error) {
			reached = true
			return nil, errors.New("that far")
		}}
		_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(address, "443"))
		if reached != want || !want && !errors.Is(err, dnsx.ErrNotPublic) {
			t.Errorf("%s: reached %v, %v", address, reached, err)
		}
	}
}
