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
	dialStart     = 250 * time.Millisecond // before the next address begins (RFC 8305 §5)
)

// ErrNotPublic keeps connections to hosts that strangers choose out of our own networks.
var ErrNotPublic = errors.New("the host has no public address, and none in dns.own_networks")

// Dialer connects to hosts by what a Resolver says: to the address that answers first
// (RFC 8305).
type Dialer struct {
	Resolver *Resolver
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // nil = the network
	Public   bool                                                              // only to addresses of the Internet
	// Own are networks that count as public. nil = none.
	Own func() []netip.Prefix
	// IPv4Only leaves the IPv6 addresses of a host out that has IPv4 ones. nil = it does not.
	IPv4Only func() bool
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
	if addrs = d.chosen(addrs); len(addrs) == 0 {
		return nil, ErrNotPublic
	}
	return d.race(ctx, network, port, addrs)
}

// chosen are the addresses that are tried, in order. The families are in turn before
// they are cut: those of one that does not work here must not hide the other one.
func (d *Dialer) chosen(addrs []netip.Addr) []netip.Addr {
	four, six := ByFamily(slices.DeleteFunc(addrs, func(a netip.Addr) bool { return d.Public && !public(a) && !d.own(a) }))
	if len(four) > 0 && d.IPv4Only != nil && d.IPv4Only() {
		six = nil
	}
	addrs = Interleave(four, six)
	return addrs[:min(len(addrs), dialAddresses)]
}

// dialed is what became of one address.
type dialed struct {
	conn net.Conn
	err  error
}

// race tries addresses, of which there is one at least. The next one begins when one
// fails, or has had its start; when one connects, the others are given up.
func (d *Dialer) race(ctx context.Context, network, port string, addrs []netip.Addr) (conn net.Conn, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := time.NewTimer(dialStart)
	defer next.Stop()
	results := make(chan dialed)
	running := 0
	begin := func() {
		if len(addrs) == 0 {
			return
		}
		a := addrs[0]
		addrs = addrs[1:]
		running++
		next.Reset(dialStart)
		go func() {
			conn, err := d.connect(ctx, network, a, port)
			results <- dialed{conn, err}
		}()
	}
	for begin(); running > 0; {
		select {
		case <-next.C:
			begin()
		case r := <-results:
			running--
			switch {
			case r.err == nil && conn != nil:
				_ = r.conn.Close() // nobody has used it
			case r.err == nil:
				conn, addrs = r.conn, nil
				cancel()
			default:
				err = r.err
				begin()
			}
		}
	}
	if conn != nil {
		return conn, nil
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
