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
