package pack

import (
	"math/bits"
	"sync"
)

// leastPooled is the shortest memory that pools hold: most mail fits.
const leastPooled = 8 << 10

// pools hold the memory of bodies being read, by powers of two.
type pools [22]sync.Pool

// take returns n octets; give takes them back.
func (p *pools) take(n int) []byte {
	class := bits.Len(uint(max(n, leastPooled) - 1))
	if class >= len(p) {
		return make([]byte, n)
	}
	if b, ok := p[class].Get().(*[]byte); ok {
		return (*b)[:n]
	}
	return make([]byte, n, 1<<class)
}

func (p *pools) give(b []byte) {
	b = b[:cap(b)]
	if class := bits.Len(uint(cap(b) - 1)); class < len(p) && cap(b) == 1<<class {
		p[class].Put(&b)
	}
}
