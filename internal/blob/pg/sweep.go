package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// sweepChunk is how many bodies one write deletes.
const sweepChunk = 100

// Sweep implements blob.Store.
func (s *Store) Sweep(ctx context.Context, refs []blob.Reference) (blob.Swept, error) {
	var done blob.Swept
	free, err := blob.Unreferenced(refs)
	if err != nil {
		return done, err
	}
	if err := s.open(); err != nil {
		return done, err
	}
	ctx = db.WithReserve(ctx)
	old := mail.Micros(time.Now().Add(-s.o.Grace))
	kept := sweeping{state: stateKept, where: "state = 1 AND created <= ? AND " + free, args: []any{old}}
	if err := s.sweep(ctx, kept, &done); err != nil {
		return done, blob.Interrupted(ctx, fmt.Errorf("sweep bodies: %w", err))
	}
	s.expireLarge()
	// What was never recorded: of an earlier process at once, of this one when
	// it is too old for anyone to record it.
	late := mail.Micros(time.Now().Add(-max(s.o.Grace, recordWithin)))
	writing := sweeping{state: stateWriting, where: "state = 0 AND (created <= ? OR id < ?)", args: []any{late, int64(s.born)}}
	if err := s.sweep(ctx, writing, &done); err != nil {
		return done, blob.Interrupted(ctx, fmt.Errorf("sweep bodies never recorded: %w", err))
	}
	return done, nil
}

// sweeping says which bodies a walk deletes.
type sweeping struct {
	state int
	where string
	args  []any
}

func (s *Store) sweep(ctx context.Context, w sweeping, done *blob.Swept) error {
	for after := mail.ID(0); ctx.Err() == nil; {
		ids, upTo, err := blob.Walk(ctx, s.o.DB, after, w.where, w.args...)
		if err != nil {
			return err
		}
		for chunk := range slices.Chunk(ids, sweepChunk) {
			if err := s.remove(ctx, chunk, w, done); err != nil {
				return err
			}
		}
		if after = upTo; after == 0 {
			return nil
		}
	}
	return nil
}

// remove deletes those of some bodies that are still as the walk found them.
func (s *Store) remove(ctx context.Context, ids []int64, w sweeping, done *blob.Swept) error {
	var gone []int64
	var octets int64
	err := s.o.DB.Write(ctx, func(tx *db.Tx) error {
		gone, octets = nil, 0
		if err := tx.Lock("body", "id", ids); err != nil {
			return err
		}
		err := tx.QueryIn(db.SQL("SELECT id, size FROM body WHERE "+w.where+" AND id IN (@ids)"),
			db.In{Before: w.args, IDs: ids}, func(r db.Rows) error {
				var id, size int64
				err := r.Scan(&id, &size)
				gone, octets = append(gone, id), octets+size
				return err
			})
		if err != nil {
			return err
		}
		return deleteBodies(tx, gone, w.state)
	})
	if err == nil {
		done.Bodies += len(gone)
		done.Bytes += octets
	}
	return err
}

func deleteBodies(tx *db.Tx, ids []int64, state int) error {
	if _, err := tx.ExecIn(db.SQL("DELETE FROM body WHERE state = ? AND id IN (@ids)"), db.In{Before: []any{state}, IDs: ids}); err != nil {
		return err
	}
	_, err := tx.ExecIn(db.SQL("DELETE FROM body_part WHERE body IN (@ids) AND NOT EXISTS (SELECT 1 FROM body WHERE body.id = body_part.body)"),
		db.In{IDs: ids})
	return err
}

// Check implements blob.Store.
func (s *Store) Check(ctx context.Context, refs []blob.Reference, report func(fault string)) error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.checkBodies(ctx, report); err != nil {
		return fmt.Errorf("check bodies: %w", err)
	}
	return blob.CheckReferences(ctx, s.o.DB, refs, "state = 1", report)
}

// checkBodies reads every body through.
func (s *Store) checkBodies(ctx context.Context, report func(string)) error {
	for after := mail.ID(0); ; {
		ids, upTo, err := blob.Walk(ctx, s.o.DB, after, "state = 1")
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.checkBody(ctx, mail.ID(id)); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if !errors.Is(err, blob.ErrCorrupt) && !errors.Is(err, blob.ErrNotFound) {
					return err
				}
				report(err.Error())
			}
		}
		if after = upTo; after == 0 {
			return nil
		}
	}
}

func (s *Store) checkBody(ctx context.Context, id mail.ID) error {
	size, err := s.lookup(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		return nil // it was swept meanwhile
	}
	if err != nil {
		return err
	}
	r := &reader{s: s, id: id, size: size}
	for n := 0; int64(n)*partLen < size; n++ {
		if _, err := r.load(ctx, n); err != nil {
			return err
		}
	}
	return nil
}
