package pack

import (
	"math/bits"
	"sync"
)

// smallLen is what a body costs at first: most mail fits.
const smallLen = 8 << 10

// Memory is a budget for the octets that bodies being written hold.
type Memory interface {
	// Take asks for more; its error ends the body.
	Take(octets int) error
	Give(octets int)
}

// pools hold the memory of bodies: small, block and powers of two for reading.
type pools struct {
	small, block sync.Pool
	read         [22]sync.Pool // by power of two
}

func take(p *sync.Pool, size int) []byte {
	if b, ok := p.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, size)
}

func give(p *sync.Pool, b []byte) {
	b = b[:cap(b)]
	p.Put(&b)
}

// takeRead returns n octets for reading; giveRead takes them back.
func (p *pools) takeRead(n int) []byte {
	class := bits.Len(uint(max(n, smallLen) - 1))
	if class >= len(p.read) {
		return make([]byte, n)
	}
	return take(&p.read[class], 1<<class)[:n]
}

func (p *pools) giveRead(b []byte) {
	if class := bits.Len(uint(cap(b) - 1)); class < len(p.read) && cap(b) == 1<<class {
		give(&p.read[class], b)
	}
}

// buffer holds octets in blocks of blockLen; the first starts small.
type buffer struct {
	pools  *pools
	memory Memory
	first  [1][]byte
	blocks [][]byte // all but the last are full
	size   int
	held   int // octets of memory
}

// add takes as many octets of p as fit into the last block, growing it.
func (b *buffer) add(p []byte) (int, error) {
	if b.size == 0 && len(b.blocks) == 0 {
		want, pool := smallLen, &b.pools.small
		if len(p) > smallLen {
			want, pool = blockLen, &b.pools.block
		}
		if err := b.charge(want); err != nil {
			return 0, err
		}
		b.blocks = append(b.first[:0], take(pool, want)[:0])
	}
	last := &b.blocks[len(b.blocks)-1]
	if len(*last) == cap(*last) || (cap(*last) == smallLen && len(*last)+len(p) > smallLen) {
		if err := b.charge(blockLen); err != nil {
			return 0, err
		}
		next := take(&b.pools.block, blockLen)[:0]
		if cap(*last) == smallLen {
			next = append(next, *last...)
			give(&b.pools.small, *last)
			b.refund(smallLen)
			*last = next
		} else {
			b.blocks = append(b.blocks, next)
			last = &b.blocks[len(b.blocks)-1]
		}
	}
	n := min(len(p), cap(*last)-len(*last))
	*last = append(*last, p[:n]...)
	b.size += n
	return n, nil
}

func (b *buffer) charge(n int) error {
	if b.memory != nil {
		if err := b.memory.Take(n); err != nil {
			return err
		}
	}
	b.held += n
	return nil
}

func (b *buffer) refund(n int) {
	if b.memory != nil {
		b.memory.Give(n)
	}
	b.held -= n
}

// release gives all memory back.
func (b *buffer) release() {
	for _, blk := range b.blocks {
		if cap(blk) == smallLen {
			give(&b.pools.small, blk)
		} else {
			give(&b.pools.block, blk)
		}
	}
	if b.held > 0 {
		b.refund(b.held)
	}
	b.blocks, b.first[0], b.size = nil, nil, 0
}
