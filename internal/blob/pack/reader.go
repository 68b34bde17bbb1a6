package pack

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

var errOffset = errors.New("negative offset")

// Open implements blob.Store. A body that is moved meanwhile is looked up again.
func (s *Store) Open(ctx context.Context, id mail.ID) (blob.Reader, error) {
	if err := s.closed(); err != nil {
		return nil, err
	}
	p, cached := s.places.Get(id)
	for try := 0; ; try++ {
		var err error
		if !cached {
			if p, err = s.lookup(ctx, id); err != nil {
				return nil, err
			}
			s.places.Put(id, p)
		}
		r, err := s.openAt(id, p)
		if err == nil {
			return r, nil
		}
		if !isMissing(err) {
			return nil, fmt.Errorf("open body %s: %w", id, err)
		}
		s.places.Forget(id)
		if try == 3 {
			return nil, fmt.Errorf("open body %s: %w: its file is missing: %w", id, blob.ErrCorrupt, err)
		}
		cached = false
	}
}

func (s *Store) openAt(id mail.ID, p place) (blob.Reader, error) {
	if p.pack == 0 {
		return s.openLarge(id, p)
	}
	_, b, err := s.readBody(id, p)
	if err != nil {
		return nil, err
	}
	return &reader{pools: &s.pools, buf: b, body: b[entryLen:]}, nil
}

// readBody reads and verifies a body in a pack with one system call. It returns
// header and bytes in memory for giveRead.
func (s *Store) readBody(id mail.ID, p place) (entry, []byte, error) {
	if p.length < entryLen || p.length > entryLen+blob.InMemory || p.start < packHeadLen {
		return entry{}, nil, fmt.Errorf("%w: its row cannot be right", blob.ErrCorrupt)
	}
	f, err := s.files.get(p.pack)
	if err != nil {
		return entry{}, nil, err
	}
	b := s.pools.take(int(p.length))
	e, err := s.readInto(b, f, id, p)
	if err != nil {
		s.pools.give(b)
		return e, nil, err
	}
	return e, b, nil
}

func (s *Store) readInto(b []byte, f file, id mail.ID, p place) (entry, error) {
	if _, err := f.ReadAt(b, p.start); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: pack %d ends before it", blob.ErrCorrupt, p.pack)
		}
		return entry{}, err
	}
	e, err := s.sums.readEntry(b, p.pack, p.start)
	if err != nil {
		return e, fmt.Errorf("%w: pack %d at %d: %w", blob.ErrCorrupt, p.pack, p.start, err)
	}
	if e.ID != id || e.Size != p.size || entryLen+e.Stored != p.length {
		return e, fmt.Errorf("%w: pack %d at %d: header and row differ", blob.ErrCorrupt, p.pack, p.start)
	}
	if !s.sums.bodyMatches(id, b[entryLen:], e.Sum) {
		return e, fmt.Errorf("%w: pack %d at %d", blob.ErrCorrupt, p.pack, p.start)
	}
	return e, nil
}

// reader holds a whole small body.
type reader struct {
	pools *pools
	mu    sync.RWMutex
	buf   []byte // nil once closed
	body  []byte
}

func (r *reader) Size() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return int64(len(r.body))
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch {
	case r.buf == nil:
		return 0, os.ErrClosed
	case off < 0:
		return 0, errOffset
	case off >= int64(len(r.body)):
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, r.body[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buf != nil {
		r.pools.give(r.buf)
		r.buf = nil
	}
	return nil
}
