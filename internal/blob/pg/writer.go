package pg

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

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

// writer implements blob.Writer.
type writer struct {
	staging.Body
	s     *Store
	id    mail.ID
	large *large // nil up to blob.InMemory
}

// Create implements blob.Store.
func (s *Store) Create() blob.Writer { return s.Restore(s.o.IDs.Next()) }

// Restore implements blob.Store.
func (s *Store) Restore(id mail.ID) blob.Writer {
	w := &writer{s: s, id: id}
	w.Init(&s.area, w)
	return w
}

// StartLarge implements staging.Owner.
func (w *writer) StartLarge() (staging.Large, error) {
	w.large = &large{s: w.s, id: w.id}
	return w.large, nil
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, _ blob.Meta) (blob.Body, error) {
	if err := w.Finish(); err != nil {
		w.Abort()
		return blob.Body{}, err
	}
	err := errors.Join(context.Cause(ctx), w.s.open())
	p := &pending{body: &w.Body, parts: w.Blocks()}
	if w.large != nil {
		p.body = nil
		if err == nil {
			err = w.large.finish(ctx, w.Size())
		}
	}
	if err == nil {
		err = w.s.wait(w.id, p)
	}
	if err != nil {
		w.Release()
		if w.large != nil {
			w.large.drop()
		}
		return blob.Body{}, fmt.Errorf("commit body %s: %w", w.id, err)
	}
	return blob.Body{ID: w.id, Size: w.Size()}, nil
}

// Abort implements blob.Writer. Parts in the database are left to the sweep if
// they cannot be removed now.
func (w *writer) Abort() {
	if w.Body.Abort() && w.large != nil {
		w.large.drop()
	}
}

// large is a body above blob.InMemory while it is written: its parts go to the
// database, where nothing finds them before Record.
type large struct {
	s     *Store
	id    mail.ID
	parts int // in the database

	part   []byte // the one that ReadAt was last in
	number int    // of part, plus one
}

// Append implements staging.Large: each block is a part.
func (l *large) Append(blocks ...[]byte) error {
	first := l.parts
	err := l.s.o.DB.Write(context.Background(), func(tx *db.Tx) error {
		if first == 0 {
			// A body that is restored may have been begun before and not recorded.
			if err := deleteBodies(tx, []int64{int64(l.id)}, stateWriting); err != nil {
				return err
			}
			row := []any{int64(l.id), 0, stateWriting, mail.Micros(time.Now())}
			if err := tx.Insert(insertBody, row); err != nil {
				return err
			}
		}
		return insertParts(tx, appendParts(nil, l.id, first, blocks))
	})
	if err != nil {
		return fmt.Errorf("body %s: %w", l.id, err)
	}
	l.parts += len(blocks)
	return nil
}

// ReadAt implements staging.Large.
func (l *large) ReadAt(p []byte, off int64) (int, error) {
	n := int(off / partLen)
	if l.number != n+1 {
		parts, err := l.s.parts(context.Background(), l.id, n, 1)
		if err != nil {
			return 0, err
		}
		l.part, l.number = parts[0], n+1
	}
	return copy(p, l.part[off%partLen:]), nil
}

// finish writes the size.
func (l *large) finish(ctx context.Context, size int64) error {
	return l.s.o.DB.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE body SET size = ? WHERE id = ?"), size, int64(l.id))
		return err
	})
}

func (l *large) drop() {
	err := l.s.o.DB.Write(db.WithReserve(context.Background()), func(tx *db.Tx) error {
		return deleteBodies(tx, []int64{int64(l.id)}, stateWriting)
	})
	if err != nil {
		l.s.o.Logger.Warn("the parts of an aborted body stay until the next sweep", "body", l.id.String(), "error", err)
	}
}
