package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Bounds of what is done with bodies at once. A store may hold what a batch has
// until it is recorded, so a batch takes no more bodies once it has so many
// octets.
const (
	batchBodies = 256
	batchOctets = 8 << 20
	bodyMemory  = 32 << 20
	copyBuffer  = 64 << 10
)

// bodies lists the ids behind one to which any row of the source refers, in
// their order.
func (m *mover) bodies(ctx context.Context, after mail.ID) (ids []mail.ID, err error) {
	err = m.o.From.DB.Read(ctx, func(tx *db.Tx) error {
		ids = make([]mail.ID, 0, batchBodies)
		for _, r := range m.o.References {
			// The first of all are among the first of each.
			rows, err := tx.Query(db.SQL(fmt.Sprintf("SELECT DISTINCT %s FROM %s WHERE %s > ? ORDER BY %s LIMIT ?",
				r.Column, r.Table, r.Column, r.Column)), after, batchBodies)
			if err != nil {
				return err
			}
			if ids, err = appendIDs(ids, rows); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bodies that %s refers to: %w", inSource, err)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(len(ids), batchBodies)], nil
}

func appendIDs(ids []mail.ID, rows db.Rows) ([]mail.ID, error) {
	err := db.Each(rows, func(r db.Rows) error {
		var id mail.ID
		err := r.Scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// each works on ids in their order, several at once, until the batch has enough
// octets or one of them fails. It returns how many ids were worked on: all up to
// there. work gets the place of the id and a buffer of its goroutine's, and
// returns the size of the body.
func (m *mover) each(ctx context.Context, ids []mail.ID, work func(ctx context.Context, i int, buf []byte) (int64, error)) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, octets atomic.Int64
	var wg sync.WaitGroup
	for range min(m.o.Parallel, len(ids)) {
		wg.Go(func() {
			buf := make([]byte, copyBuffer)
			for octets.Load() < batchOctets && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(ids) {
					return
				}
				n, err := work(ctx, i, buf)
				octets.Add(n)
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx) // the first failure: it cancelled the others
	}
	return min(int(next.Load()), len(ids)), nil
}

// open opens a body and charges the memory that it takes: the store may hold all
// of a small body, and the copy of it as well.
func (m *mover) open(ctx context.Context, s blob.Store, id mail.ID) (r blob.Reader, held int64, err error) {
	const most = 2*blob.InMemory + copyBuffer
	m.memory.take(most) // how large it is shows only once it is open
	r, err = s.Open(ctx, id)
	if err != nil {
		m.memory.give(most)
		return nil, 0, err
	}
	held = 2*min(r.Size(), blob.InMemory) + copyBuffer
	m.memory.give(most - held)
	return r, held, nil
}

// isDamage tells whether an error is about one body and not about the store.
func isDamage(err error) bool {
	return errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt)
}
