// Package staging holds bodies while they are written: up to blob.InMemory
// whole, of larger ones the last blocks, all within a budget of memory.
package staging

import (
	"errors"
	"io"
	"sync"

	"github.com/hayauma/hayauma/internal/blob"
)

const (
	// BlockLen is how many octets a block has, but for the last one of a body.
	BlockLen = 64 << 10
	// SmallLen is what a body costs at first: most mail fits.
	SmallLen = 8 << 10
)

// ErrEnded is the error of a body that was committed or aborted already.
var ErrEnded = errors.New("the body was committed or aborted already")

// Memory is a budget for the octets that bodies being written hold.
type Memory interface {
	// Take asks for more; its error ends the body.
	Take(octets int) error
	Give(octets int)
}

// Large is where a store puts a body above blob.InMemory.
type Large interface {
	// Append takes the next blocks, which it may not keep.
	Append(blocks ...[]byte) error
	// ReadAt reads what was appended: at least an octet, maybe fewer than asked
	// for. off is before the end.
	ReadAt(p []byte, off int64) (int, error)
}

// Owner makes room for a body once it turns out to be large.
type Owner interface {
	StartLarge() (Large, error)
}

// Area is what the bodies of one store share.
type Area struct {
	Memory Memory // nil = no limit
	Gather int    // full blocks that a large body hands over together; 0 = 1

	small, block sync.Pool
}

// Body takes the octets of one body. It is not safe for use by two goroutines.
type Body struct {
	area  *Area
	owner Owner

	first  [1][]byte
	blocks [][]byte // all but the last are full
	held   int      // octets of memory
	size   int64
	moved  int64 // octets in large
	large  Large // nil up to blob.InMemory
	err    error // of the first write that failed
	ended  bool
}

// Init begins an empty body.
func (b *Body) Init(a *Area, o Owner) { *b = Body{area: a, owner: o} }

// Size is how many octets were written.
func (b *Body) Size() int64 { return b.size }

// Write implements io.Writer.
func (b *Body) Write(p []byte) (int, error) {
	if b.ended {
		return 0, ErrEnded
	}
	if b.err == nil && b.large == nil && b.size+int64(len(p)) > blob.InMemory {
		b.err = b.spill()
	}
	total := 0
	for len(p) > 0 && b.err == nil {
		var n int
		n, b.err = b.take(p)
		total, p, b.size = total+n, p[n:], b.size+int64(n)
	}
	return total, b.err
}

// spill makes a large body of one that was small so far.
func (b *Body) spill() error {
	large, err := b.owner.StartLarge()
	if err != nil {
		return err
	}
	b.large = large
	return b.handOver()
}

// take puts as many octets of p as fit into the last block, growing it.
func (b *Body) take(p []byte) (int, error) {
	if b.large != nil && b.full() >= max(b.area.Gather, 1) {
		if err := b.handOver(); err != nil {
			return 0, err
		}
	}
	if err := b.grow(len(p)); err != nil {
		return 0, err
	}
	last := &b.blocks[len(b.blocks)-1]
	n := min(len(p), cap(*last)-len(*last))
	*last = append(*last, p[:n]...)
	return n, nil
}

// full is how many blocks are full.
func (b *Body) full() int {
	n := len(b.blocks)
	if n > 0 && len(b.blocks[n-1]) < BlockLen {
		n--
	}
	return n
}

// handOver moves the full blocks out of memory.
func (b *Body) handOver() error {
	full := b.blocks[:b.full()]
	if len(full) == 0 {
		return nil
	}
	if err := b.large.Append(full...); err != nil {
		return err
	}
	b.moved += int64(len(full)) * BlockLen
	rest := b.blocks[len(full):]
	if len(rest) == 0 { // what follows needs a block
		full, rest = full[1:], [][]byte{full[0][:0]}
	}
	for _, block := range full {
		b.give(block)
	}
	b.blocks = append(b.first[:0], rest...)
	return nil
}

// grow makes room in the last block for some of n octets.
func (b *Body) grow(n int) error {
	if len(b.blocks) == 0 {
		return b.add(n <= SmallLen)
	}
	last := b.blocks[len(b.blocks)-1]
	if len(last) == BlockLen {
		return b.add(false)
	}
	if cap(last) == BlockLen || len(last)+n <= cap(last) {
		return nil
	}
	if err := b.add(false); err != nil {
		return err
	}
	wide := len(b.blocks) - 1
	b.blocks[wide-1] = append(b.blocks[wide], last...)
	b.blocks = b.blocks[:wide]
	b.give(last)
	return nil
}

// add adds an empty block.
func (b *Body) add(small bool) error {
	size, pool := BlockLen, &b.area.block
	if small {
		size, pool = SmallLen, &b.area.small
	}
	if m := b.area.Memory; m != nil {
		if err := m.Take(size); err != nil {
			return err
		}
	}
	b.held += size
	block, ok := pool.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, 0, size)
		block = &fresh
	}
	if b.blocks == nil {
		b.blocks = b.first[:0]
	}
	b.blocks = append(b.blocks, (*block)[:0])
	return nil
}

// give gives the memory of a block back.
func (b *Body) give(block []byte) {
	size, pool := cap(block), &b.area.block
	if size == SmallLen {
		pool = &b.area.small
	}
	block = block[:0]
	pool.Put(&block)
	b.refund(size)
}

func (b *Body) refund(octets int) {
	b.held -= octets
	if m := b.area.Memory; m != nil && octets > 0 {
		m.Give(octets)
	}
}

// Finish ends the writing, for Commit, and moves the end of a large body out of
// memory. After another error than ErrEnded the body is still to be aborted.
func (b *Body) Finish() error {
	if b.ended {
		return ErrEnded
	}
	if b.err == nil && b.large != nil && b.moved < b.size {
		b.err = b.large.Append(b.blocks...)
		b.moved = b.size
	}
	if b.err != nil {
		return b.err
	}
	b.ended = true
	if b.large != nil {
		b.Release()
	}
	return nil
}

// Abort ends the writing and gives the memory back. It returns false if it was
// ended before.
func (b *Body) Abort() bool {
	if b.ended {
		return false
	}
	b.ended = true
	b.Release()
	return true
}

// Blocks is what is in memory: all of a body that is not large.
func (b *Body) Blocks() [][]byte { return b.blocks }

// Release gives the memory back.
func (b *Body) Release() {
	for _, block := range b.blocks {
		b.give(block)
	}
	b.blocks, b.first[0] = nil, nil
}

// Disown gives the budget back and leaves the octets to whoever may still read
// them.
func (b *Body) Disown() {
	b.refund(b.held)
	b.blocks = nil
}

// Reader reads what was written so far, from any place. It is valid until the
// next Write, Finish or Abort.
func (b *Body) Reader() (*io.SectionReader, error) {
	if b.ended {
		return nil, ErrEnded
	}
	if b.err != nil {
		return nil, b.err
	}
	return io.NewSectionReader(reader{b}, 0, b.size), nil
}

// reader reads a body that is still being written.
type reader struct{ b *Body }

// ReadAt implements io.ReaderAt.
func (r reader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.some(p[n:], off+int64(n))
		n += more
	}
	return n, err
}

// some reads as much as lies in one piece.
func (r reader) some(p []byte, off int64) (int, error) {
	switch in := off - r.b.moved; {
	case off >= r.b.size:
		return 0, io.EOF
	case in < 0:
		return r.b.large.ReadAt(p[:min(int64(len(p)), -in)], off)
	default:
		return copy(p, r.b.blocks[in/BlockLen][in%BlockLen:]), nil
	}
}
