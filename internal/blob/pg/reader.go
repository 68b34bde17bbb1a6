package pg

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// part reads and verifies one part.
func (s *Store) part(ctx context.Context, id mail.ID, number int) ([]byte, error) {
	var want, octets []byte
	err := s.o.DB.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT sum, bytes FROM body_part WHERE body = ? AND number = ?"), []any{int64(id), number}, &want, &octets)
	})
	if errors.Is(err, db.ErrNoRows) {
		return nil, fmt.Errorf("part %d of body %s: %w", number, id, blob.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(want, sum(id, number, octets)) != 1 {
		return nil, fmt.Errorf("part %d of body %s: %w", number, id, blob.ErrCorrupt)
	}
	return octets, nil
}

// reader implements blob.Reader. It keeps the part read last.
type reader struct {
	s    *Store
	id   mail.ID
	size int64

	mu     sync.Mutex
	part   []byte
	number int // of part, -1 = none
	closed bool
}

// Open implements blob.Store. The first part is read at once, so that a body
// that is damaged there is not even opened.
func (s *Store) Open(ctx context.Context, id mail.ID) (blob.Reader, error) {
	if err := s.open(); err != nil {
		return nil, err
	}
	size, err := s.lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	r := &reader{s: s, id: id, size: size, number: -1}
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
	r.part, r.number, r.closed = nil, -1, true
	return nil
}

// load returns a part. r.mu is held, or nobody else knows r yet.
func (r *reader) load(ctx context.Context, number int) ([]byte, error) {
	if r.number == number {
		return r.part, nil
	}
	part, err := r.s.part(ctx, r.id, number)
	if err != nil {
		return nil, err
	}
	if want := min(partLen, r.size-int64(number)*partLen); int64(len(part)) != want {
		return nil, fmt.Errorf("part %d of body %s has %d octets, not %d: %w", number, r.id, len(part), want, blob.ErrCorrupt)
	}
	r.part, r.number = part, number
	return part, nil
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
