// Package ratelimit counts what one address or network does to us, in bounded memory.
package ratelimit

import "net/netip"

// Network returns what counts as one address: an IPv4 address alone, an IPv6
// address with its /64, since one host has a whole /64 to choose from.
// An IPv4 address in IPv6 form counts as the IPv4 address. The result for an
// invalid address (a unix socket has none) is invalid.
func Network(addr netip.Addr) netip.Prefix {
	const host6 = 64
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = host6
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Around returns the wider network that a provider hands out to a customer, or
// shares out among several: the /24 of an IPv4 network, the /48 of an IPv6 one.
func Around(network netip.Prefix) netip.Prefix {
	const wide4, wide6 = 24, 48
	bits := wide6
	if network.Addr().Is4() {
		bits = wide4
	}
	return netip.PrefixFrom(network.Addr(), bits).Masked()
}
