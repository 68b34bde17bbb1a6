package pg

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"sync"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// parts reads and verifies parts of a body from number first on.
func (s *Store) parts(ctx context.Context, id mail.ID, first, n int) ([][]byte, error) {
	var parts [][]byte
	err := s.o.DB.Read(ctx, func(tx *db.Tx) error {
		parts = make([][]byte, 0, n)
		rows, err := tx.Query(db.SQL("SELECT number, sum, bytes FROM body_part WHERE body = ? AND number >= ? AND number < ? ORDER BY number"),
			int64(id), first, first+n)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var number int
			var want, octets []byte
			if err := r.Scan(&number, &want, &octets); err != nil {
				return err
			}
			if number != first+len(parts) {
				return nil // the gap is found below
			}
			if subtle.ConstantTimeCompare(want, sum(id, number, octets)) != 1 {
				return fmt.Errorf("part %d of body %s: %w", number, id, blob.ErrCorrupt)
			}
			parts = append(parts, octets)
			return nil
		})
	})
	if err == nil && len(parts) < n {
		err = fmt.Errorf("part %d of body %s: %w", first+len(parts), id, blob.ErrNotFound)
	}
	return parts, err
}

// reader implements blob.Reader. It keeps the parts read last.
type reader struct {
	s    *Store
	id   mail.ID
	size int64

	mu     sync.Mutex
	parts  [][]byte
	first  int // the number of parts[0]
	closed bool
}

// Open implements blob.Store. The first parts are read at once, so that a body
// that is damaged there is not even opened.
func (s *Store) Open(ctx context.Context, id mail.ID) (blob.Reader, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	size, err := s.lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	r := &reader{s: s, id: id, size: size}
	if size > 0 {
		if _, err := r.load(ctx, 0); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts, r.closed = nil, true
	return nil
}

// load returns a part, and reads the next ones with it. r.mu is held, or nobody
// else knows r yet.
func (r *reader) load(ctx context.Context, number int) ([]byte, error) {
	if i := number - r.first; i >= 0 && i < len(r.parts) {
		return r.parts[i], nil
	}
	last := int((r.size - 1) / partLen)
	parts, err := r.s.parts(ctx, r.id, number, min(partsAtOnce, last-number+1))
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		if want := min(partLen, r.size-int64(number+i)*partLen); int64(len(p)) != want {
			return nil, fmt.Errorf("part %d of body %s has %d octets, not %d: %w", number+i, r.id, len(p), want, blob.ErrCorrupt)
		}
	}
	r.parts, r.first = parts, number
	return parts[0], nil
}

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("body %s: read at %d", r.id, off)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, errClosed
	}
	total := 0
	for total < len(p) {
		if off >= r.size {
			return total, io.EOF
		}
		part, err := r.load(context.Background(), int(off/partLen))
		if err != nil {
			return total, err
		}
		n := copy(p[total:], part[off%partLen:])
		total, off = total+n, off+int64(n)
	}
	return total, nil
}
