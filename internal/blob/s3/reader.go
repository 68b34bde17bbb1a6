package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// aheadMax is how many blocks one request reads of a body that is read in order.
const aheadMax = 4

// Open implements blob.Store. Of a small body everything is read and verified
// here, of a large one what stands first.
func (s *Store) Open(ctx context.Context, id mail.ID) (blob.Reader, error) {
	if err := s.closed(); err != nil {
		return nil, err
	}
	p, cached := s.places.Get(id)
	if !cached {
		var err error
		if p, err = s.lookup(ctx, id); err != nil {
			return nil, err
		}
		s.places.Put(id, p)
	}
	r := &reader{s: s, id: id, size: p.size, at: p, have: -1}
	first := 1
	if p.size <= blob.InMemory {
		first = blocksOf(p.size)
	}
	ctx, end := s.with(ctx)
	defer end()
	if err := r.load(ctx, 0, first); err != nil {
		return nil, fmt.Errorf("open body %s: %w", id, err)
	}
	r.ctx, r.cancel = context.WithCancel(s.ctx)
	return r, nil
}

// reader reads a body block by block, each verified. It holds one; others are
// in the cache.
type reader struct {
	s    *Store
	id   mail.ID
	size int64

	// Reads have no context: they end with the reader, and by the limits of
	// requests.
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	at     place
	have   int // the block in data, -1 = none
	data   []byte
	closed bool
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	r.cancel() // first, so that a read that waits for the service ends
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.data, r.have = true, nil, -1
	return nil
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errOffset
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, os.ErrClosed
	}
	total := 0
	for len(p) > 0 {
		if off >= r.size {
			return total, io.EOF
		}
		n := int(off / blockLen)
		if err := r.load(r.ctx, n, r.ahead(n, int64(len(p)))); err != nil {
			return total, fmt.Errorf("read body %s: %w", r.id, err)
		}
		k := copy(p, r.data[off%blockLen:])
		total, p, off = total+k, p[k:], off+int64(k)
	}
	return total, nil
}

// ahead is how many blocks to read for a read at block n: as many as it wants,
// and some more where the reader comes from the block before.
func (r *reader) ahead(n int, wanted int64) int {
	count := int((wanted + blockLen - 1) / blockLen)
	if n == r.have+1 {
		count = aheadMax
	}
	return min(max(1, count), aheadMax, blocksOf(r.size)-n)
}

// load sees to it that data is block n, and reads up to count blocks from there
// on if it has to ask for it. The lock is held.
func (r *reader) load(ctx context.Context, n, count int) error {
	if r.have == n {
		return nil
	}
	if data, ok := r.s.cache.get(blockKey{r.id, n}); ok {
		r.have, r.data = n, data
		return nil
	}
	for try := 0; ; try++ {
		blocks, err := r.s.fetch(ctx, r.id, r.at, n, count)
		if err == nil {
			for i, b := range blocks {
				r.s.cache.put(blockKey{r.id, n + i}, b)
			}
			r.have, r.data = n, blocks[0]
			return nil
		}
		if !errors.Is(err, errMissing) && !errors.Is(err, errEnds) {
			return err
		}
		if try == 3 {
			return fmt.Errorf("%w: %w", blob.ErrCorrupt, err)
		}
		if err := r.moved(ctx, err); err != nil {
			return err
		}
	}
}

// moved looks up a body again whose object is not where it was. An error says
// that it has not moved.
func (r *reader) moved(ctx context.Context, cause error) error {
	r.s.places.Forget(r.id)
	p, err := r.s.lookup(ctx, r.id)
	if err != nil {
		return err
	}
	if p.object == r.at.object && p.start == r.at.start {
		return fmt.Errorf("%w: object %s: %w", blob.ErrCorrupt, p.object, cause)
	}
	r.at = p
	r.s.places.Put(r.id, p)
	return nil
}

// fetch reads and verifies count blocks of a body. What does not match is read
// once more: it may have been damaged on its way.
func (s *Store) fetch(ctx context.Context, id mail.ID, p place, first, count int) ([][]byte, error) {
	if p.size == 0 {
		return [][]byte{{}}, nil // there is nothing that could be damaged
	}
	blocks := make([][]byte, count)
	var octets int64
	for i := range blocks {
		blocks[i] = make([]byte, blockSize(p.size, first+i))
		octets += int64(len(blocks[i]))
	}
	for try := 0; ; try++ {
		err := s.client.get(ctx, s.key(p.object), p.start+int64(first)*blockLen, octets, func(r io.Reader) error {
			for _, b := range blocks {
				if _, err := io.ReadFull(r, b); err != nil {
					return fmt.Errorf("%w: too short: %w", errAnswer, err)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		bad := -1
		for i, b := range blocks {
			if !blockMatches(id, first+i, b, p.sums) {
				bad = first + i
				break
			}
		}
		if bad < 0 {
			return blocks, nil
		}
		if try > 0 {
			return nil, fmt.Errorf("%w: block %d in object %s", blob.ErrCorrupt, bad, p.object)
		}
	}
}
