package pg

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

var errEnded = errors.New("the body was committed or aborted already")

const sumLen = 16

// sum is the checksum of a part.
func sum(id mail.ID, number int, octets []byte) []byte {
	h := sha256.New()
	var head [16]byte
	binary.BigEndian.PutUint64(head[:8], uint64(id))
	binary.BigEndian.PutUint64(head[8:], uint64(number))
	_, _ = h.Write(head[:]) // a hash never fails
	_, _ = h.Write(octets)
	return h.Sum(nil)[:sumLen]
}

// smallLen is what a body costs at first: most mail fits.
const smallLen = 8 << 10

// writer implements blob.Writer. It holds the whole body up to blob.InMemory,
// above that the last part only.
type writer struct {
	s     *Store
	id    mail.ID
	parts [][]byte // all but the last are full
	held  int
	size  int64
	large int // parts in the database; 0 = the body is in memory
	err   error
	ended bool
}

// Create implements blob.Store.
func (s *Store) Create() blob.Writer { return s.Restore(s.o.IDs.Next()) }

// Restore implements blob.Store.
func (s *Store) Restore(id mail.ID) blob.Writer { return &writer{s: s, id: id} }

func (w *writer) Size() int64 { return w.size }

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	total := 0
	for len(p) > 0 && w.err == nil {
		var n int
		n, w.err = w.take(p)
		total, p = total+n, p[n:]
		w.size += int64(n)
	}
	return total, w.err
}

// take adds octets to the last part.
func (w *writer) take(p []byte) (int, error) {
	last := len(w.parts) - 1
	if last < 0 || len(w.parts[last]) == partLen {
		if w.size >= blob.InMemory {
			if err := w.spill(); err != nil {
				return 0, err
			}
		}
		w.parts = append(w.parts, nil)
		last = len(w.parts) - 1
	}
	n := min(len(p), partLen-len(w.parts[last]))
	if err := w.grow(last, n); err != nil {
		return 0, err
	}
	w.parts[last] = append(w.parts[last], p[:n]...)
	return n, nil
}

// grow makes room for n octets in a part.
func (w *writer) grow(part, n int) error {
	have := w.parts[part]
	if cap(have)-len(have) >= n {
		return nil
	}
	size := max(smallLen, cap(have))
	for size < len(have)+n {
		size *= 2
	}
	size = min(size, partLen)
	if err := w.s.take(size - cap(have)); err != nil {
		return err
	}
	w.held += size - cap(have)
	w.parts[part] = append(make([]byte, 0, size), have...)
	return nil
}

// spill moves full parts to the database.
func (w *writer) spill() error {
	return w.put(context.Background())
}

func (w *writer) put(ctx context.Context) error {
	first := w.large
	err := w.s.o.DB.Write(ctx, func(tx *db.Tx) error {
		if first == 0 {
			// A body that is restored may have been begun before and not recorded.
			if err := deleteBodies(tx, []int64{int64(w.id)}, stateWriting); err != nil {
				return err
			}
			row := []any{int64(w.id), 0, stateWriting, mail.Micros(time.Now())}
			if err := tx.Insert(insertBody, row); err != nil {
				return err
			}
		}
		rows := make([][]any, len(w.parts))
		for i, p := range w.parts {
			rows[i] = []any{int64(w.id), first + i, sum(w.id, first+i, p), p}
		}
		return insertParts(tx, rows)
	})
	if err != nil {
		return fmt.Errorf("body %s: %w", w.id, err)
	}
	w.large += len(w.parts)
	w.release()
	return nil
}

func (w *writer) release() {
	w.s.give(w.held)
	w.held, w.parts = 0, nil
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, _ blob.Meta) (blob.Body, error) {
	if w.ended {
		return blob.Body{}, errEnded
	}
	b := blob.Body{ID: w.id, Size: w.size}
	err := w.err
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = w.s.open()
	}
	if err == nil && w.large > 0 {
		err = w.finish(ctx)
	}
	if err != nil {
		w.Abort()
		return blob.Body{}, fmt.Errorf("commit body %s: %w", w.id, err)
	}
	w.ended = true
	p := &pending{held: w.held}
	if w.large == 0 {
		p.parts = w.parts
		if p.parts == nil {
			p.parts = [][]byte{}
		}
	}
	if err := w.s.wait(w.id, p); err != nil {
		w.release()
		return blob.Body{}, fmt.Errorf("commit body %s: %w", w.id, err)
	}
	return b, nil
}

// finish writes the end of a large body and its size.
func (w *writer) finish(ctx context.Context) error {
	if len(w.parts) > 0 {
		if err := w.put(ctx); err != nil {
			return err
		}
	}
	return w.s.o.DB.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE body SET size = ? WHERE id = ?"), w.size, int64(w.id))
		return err
	})
}

// Abort implements blob.Writer. Parts in the database are left to the sweep if
// they cannot be removed now.
func (w *writer) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	w.release()
	if w.large == 0 {
		return
	}
	err := w.s.o.DB.Write(db.WithReserve(context.Background()), func(tx *db.Tx) error {
		return deleteBodies(tx, []int64{int64(w.id)}, stateWriting)
	})
	if err != nil {
		w.s.o.Logger.Warn("the parts of an aborted body stay until the next sweep", "body", w.id.String(), "error", err)
	}
}

// Reader implements blob.Writer.
func (w *writer) Reader() (io.Reader, error) {
	if w.ended {
		return nil, errEnded
	}
	if w.err != nil {
		return nil, w.err
	}
	return &written{w: w}, nil
}

// written reads a body that is still being written.
type written struct {
	w    *writer
	at   int64
	part []byte // of the database, the one that at lies in
	have int    // its number plus one
}

func (r *written) Read(p []byte) (int, error) {
	if r.at >= r.w.size {
		return 0, io.EOF
	}
	n, off := int(r.at/partLen), int(r.at%partLen)
	var from []byte
	switch {
	case n >= r.w.large:
		from = r.w.parts[n-r.w.large]
	case r.have == n+1:
		from = r.part
	default:
		var err error
		if r.part, err = r.w.s.part(context.Background(), r.w.id, n); err != nil {
			return 0, err
		}
		r.have, from = n+1, r.part
	}
	got := copy(p, from[off:])
	r.at += int64(got)
	return got, nil
}
