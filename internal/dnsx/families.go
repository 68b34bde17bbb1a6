package dnsx

import "net/netip"

// ByFamily parts addresses.
func ByFamily(addrs []netip.Addr) (four, six []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	return four, six
}

// Interleave takes a family in turn, IPv6 first, so that a broken one costs one try and
// not all of them.
func Interleave(four, six []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(four)+len(six))
	for i := range max(len(four), len(six)) {
		if i < len(six) {
			out = append(out, six[i])
		}
		if i < len(four) {
			out = append(out, four[i])
		}
	}
	return out
}
