package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// largeFile is a body above blob.InMemory while it is written: an entry header,
// then blocks of blockLen, each with its sum behind it.
type largeFile struct {
	s      *Store
	id     mail.ID
	f      file
	blocks int
}

func largeName(id mail.ID) string { return "large/" + id.String() }

// blockStart returns where block n of a large file begins.
func blockStart(n int) int64 { return entryLen + int64(n)*(blockLen+sumLen) }

// largeLen returns how long the file of a body of a size is.
func largeLen(size int64) int64 {
	return entryLen + size + (size+blockLen-1)/blockLen*sumLen
}

func (s *Store) createLarge(id mail.ID) (*largeFile, error) {
	if err := s.Health(); err != nil {
		return nil, err
	}
	f, err := s.disk.open(largeName(id), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", blob.ErrFull, err)
		}
		return nil, err
	}
	return &largeFile{s: s, id: id, f: f}, nil
}

// Append implements staging.Large.
func (l *largeFile) Append(blocks ...[]byte) error {
	for _, block := range blocks {
		if err := l.append(block); err != nil {
			return err
		}
	}
	return nil
}

func (l *largeFile) append(block []byte) error {
	if err := l.s.space.check(); err != nil {
		return err
	}
	b := l.s.pools.take(len(block) + sumLen)
	defer l.s.pools.give(b)
	b = l.s.sums.appendBlock(append(b[:0], block...), l.id, uint32(l.blocks), block)
	if _, err := l.f.WriteAt(b, blockStart(l.blocks)); err != nil {
		return l.s.writeFailed(err)
	}
	l.blocks++
	return nil
}

// ReadAt implements staging.Large.
func (l *largeFile) ReadAt(p []byte, off int64) (int, error) {
	n, in := int(off/blockLen), off%blockLen
	return l.f.ReadAt(p[:min(int64(len(p)), blockLen-in)], blockStart(n)+in)
}

// commit writes the header and makes file and name durable.
func (l *largeFile) commit(e entry) (place, error) {
	err := l.finish(e)
	if err != nil {
		l.drop()
		return place{}, err
	}
	if err := l.f.Close(); err != nil {
		return place{}, l.s.fail(err)
	}
	l.s.pending.add(l.id, 0)
	return place{length: largeLen(e.Size), size: e.Size}, nil
}

func (l *largeFile) finish(e entry) error {
	if err := l.s.refuses(); err != nil {
		return err
	}
	e.Pack, e.Offset = 0, int64(l.id)
	if _, err := l.f.WriteAt(e.appendTo(make([]byte, 0, entryLen), l.s.sums), 0); err != nil {
		return l.s.writeFailed(err)
	}
	if err := l.f.Sync(); err != nil {
		return l.s.fail(err)
	}
	if err := l.s.disk.syncDir("large"); err != nil {
		return l.s.fail(err)
	}
	return nil
}

// drop removes the file. Where that fails the next start does it.
func (l *largeFile) drop() {
	if err := errors.Join(l.f.Close(), l.s.disk.remove(largeName(l.id))); err != nil {
		l.s.log.Warn("large body not removed before the next start", "body", l.id, "error", err)
	}
}

// largeReader reads a large body block by block, each verified. It keeps one.
type largeReader struct {
	s    *Store
	id   mail.ID
	size int64

	mu    sync.Mutex
	f     file
	n     int // the block in buf, -1 = none
	buf   []byte
	block []byte
}

func (s *Store) openLarge(id mail.ID, p place) (*largeReader, error) {
	f, err := s.disk.open(largeName(id), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := s.checkLargeHead(f, id, p); err != nil {
		_ = f.Close() // only read
		return nil, err
	}
	return &largeReader{s: s, id: id, size: p.size, f: f, n: -1}, nil
}

func (s *Store) checkLargeHead(f file, id mail.ID, p place) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size != largeLen(p.size) || size != p.length {
		return fmt.Errorf("%w: file of %d octets, want %d", blob.ErrCorrupt, size, p.length)
	}
	head := make([]byte, entryLen)
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	e, err := s.sums.readEntry(head, 0, int64(id))
	if err != nil {
		return fmt.Errorf("%w: %w", blob.ErrCorrupt, err)
	}
	if e.ID != id || e.Size != p.size {
		return fmt.Errorf("%w: header and row differ", blob.ErrCorrupt)
	}
	return nil
}

func (r *largeReader) Size() int64 { return r.size }

func (r *largeReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	if r.buf != nil {
		r.s.pools.give(r.buf)
		r.buf, r.block, r.n = nil, nil, -1
	}
	return err
}

func (r *largeReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return 0, os.ErrClosed
	}
	total := 0
	for len(p) > 0 {
		if off >= r.size {
			return total, io.EOF
		}
		if err := r.load(int(off / blockLen)); err != nil {
			return total, fmt.Errorf("read body %s: %w", r.id, err)
		}
		n := copy(p, r.block[off%blockLen:])
		total, p, off = total+n, p[n:], off+int64(n)
	}
	return total, nil
}

// load reads and verifies a block. The lock is held.
func (r *largeReader) load(n int) error {
	if r.n == n {
		return nil
	}
	if r.buf == nil {
		r.buf = r.s.pools.take(blockLen + 2*sumLen)
	}
	r.n = -1
	length := int(min(blockLen, r.size-int64(n)*blockLen))
	b := r.buf[:length+sumLen]
	if _, err := r.f.ReadAt(b, blockStart(n)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	r.block = b[:length:length]
	sum := r.s.sums.appendBlock(r.buf[length+sumLen:length+sumLen], r.id, uint32(n), r.block)
	if !bytes.Equal(sum, b[length:]) {
		return blob.ErrCorrupt
	}
	r.n = n
	return nil
}
