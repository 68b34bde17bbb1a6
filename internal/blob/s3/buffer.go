package s3

import "sync"

const (
	// smallLen is what a body costs at first: most mail fits.
	smallLen = 8 << 10
	// chunkLen is in what pieces a body takes memory.
	chunkLen = 64 << 10
)

// Memory is a budget for the octets that bodies being written hold.
type Memory interface {
	// Take asks for more; its error ends the body.
	Take(octets int) error
	Give(octets int)
}

// pools hold the memory of bodies being written.
type pools struct {
	small, chunk sync.Pool
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

// buffer holds octets in chunks of chunkLen; the first starts small.
type buffer struct {
	pools  *pools
	memory Memory
	first  [1][]byte
	chunks [][]byte // all but the last are full
	size   int
	held   int // octets of memory
}

// add takes as many octets of p as fit into the last block, growing it.
func (b *buffer) add(p []byte) (int, error) {
	if b.size == 0 && len(b.chunks) == 0 {
		want, pool := smallLen, &b.pools.small
		if len(p) > smallLen {
			want, pool = chunkLen, &b.pools.chunk
		}
		if err := b.charge(want); err != nil {
			return 0, err
		}
		b.chunks = append(b.first[:0], take(pool, want)[:0])
	}
	last := &b.chunks[len(b.chunks)-1]
	if len(*last) == cap(*last) || (cap(*last) == smallLen && len(*last)+len(p) > smallLen) {
		if err := b.charge(chunkLen); err != nil {
			return 0, err
		}
		next := take(&b.pools.chunk, chunkLen)[:0]
		if cap(*last) == smallLen {
			next = append(next, *last...)
			give(&b.pools.small, *last)
			b.refund(smallLen)
			*last = next
		} else {
			b.chunks = append(b.chunks, next)
			last = &b.chunks[len(b.chunks)-1]
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
	for _, c := range b.chunks {
		if cap(c) == smallLen {
			give(&b.pools.small, c)
		} else {
			give(&b.pools.chunk, c)
		}
	}
	if b.held > 0 {
		b.refund(b.held)
	}
	b.chunks, b.first[0], b.size = nil, nil, 0
}
