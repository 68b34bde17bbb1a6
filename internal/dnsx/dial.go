package dnsx

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Bounds of what a Dialer tries to connect to.
const (
	dialAddresses = 4
	dialTimeout   = 15 * time.Second
)

// ErrNotPublic keeps connections to hosts that strangers choose out of our own networks.
var ErrNotPublic = errors.New("the host has no public address, and none in dns.own_networks")

// Dialer connects to hosts by what a Resolver says, address by address.
type Dialer struct {
	Resolver *Resolver
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil = the network
	Public   bool                                                              // only to addresses of the Internet
	// Own are networks that count as public. nil = none.
	Own func() []netip.Prefix
}

// DialContext is for an http.Transport.
func (d *Dialer) DialContext(ctx context.Context, network, to string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return nil, err
	}
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = d.Resolver.Addrs(ctx, host); err != nil {
		return nil, err
	}
	err = ErrNotPublic
	tried := 0
	for _, a := range addrs {
		if d.Public && !public(a) && !d.own(a) {
			continue
		}
		if tried++; tried > dialAddresses {
			break
		}
		var conn net.Conn
		if conn, err = d.connect(ctx, network, a, port); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// public tells whether an address is of the Internet. One that a translator makes of
// an IPv4 address (RFC 6052, RFC 3056) is what that is.
func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	octets := a.As16()
	switch {
	case within(a, "0.0.0.0/8", "100.64.0.0/10", "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "fec0::/10"):
		return false
	case within(a, "64:ff9b::/96"):
		return public(netip.AddrFrom4([4]byte(octets[12:])))
	case within(a, "2002::/16"):
		return public(netip.AddrFrom4([4]byte(octets[2:6])))
	}
	return true
}

func within(a netip.Addr, networks ...string) bool {
	for _, n := range networks {
		if netip.MustParsePrefix(n).Contains(a) {
			return true
		}
	}
	return false
}

func (d *Dialer) own(a netip.Addr) bool {
	if d.Own == nil {
		return false
	}
	return slices.ContainsFunc(d.Own(), func(n netip.Prefix) bool { return n.Contains(a.Unmap()) })
}

func (d *Dialer) connect(ctx context.Context, network string, a netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
}
