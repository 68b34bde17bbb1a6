package dnsx

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// Bounds of what a Dialer tries to connect to.
const (
	dialAddresses = 4
	dialTimeout   = 15 * time.Second
)

// ErrNotPublic keeps connections to hosts that strangers choose out of our own networks.
var ErrNotPublic = errors.New("the host has no public address")

// Dialer connects to hosts by what a Resolver says, address by address.
type Dialer struct {
	Resolver *Resolver
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil = the network
	Public   bool                                                              // only to addresses of the Internet
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
		if d.Public && !public(a) {
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

// public tells whether an address is of the Internet.
func public(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == ""
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
