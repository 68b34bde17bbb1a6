package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	// sweepWalk is how many rows one read looks at, sweepChunk how many bodies
	// one write deletes.
	sweepWalk  = 1000
	sweepChunk = 100
)

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
	created := mail.Micros(time.Now().Add(-s.o.Grace))
	kept := "id > ? AND state = 1 AND created <= ? AND " + free
	if err := s.sweepWhere(ctx, sweeping{where: kept, bound: created, state: stateKept}, &done); err != nil {
		return done, stopped(ctx, fmt.Errorf("sweep bodies: %w", err))
	}
	s.expireLarge()
	// What was never recorded: of an earlier process at once, of this one when
	// it is too old for anyone to record it.
	late := mail.Micros(time.Now().Add(-max(s.o.Grace, recordWithin)))
	writing := "id > ? AND state = 0 AND (created <= ? OR id < " + fmt.Sprint(int64(s.born)) + ")"
	if err := s.sweepWhere(ctx, sweeping{where: writing, bound: late, state: stateWriting}, &done); err != nil {
		return done, stopped(ctx, fmt.Errorf("sweep bodies never recorded: %w", err))
	}
	return done, nil
}

// stopped leaves out an error that only says that ctx has ended.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return nil
	}
	return err
}

// sweeping says which bodies a walk deletes.
type sweeping struct {
	where string // with the id behind which to look, and bound
	bound int64
	state int
}

func (s *Store) sweepWhere(ctx context.Context, w sweeping, done *blob.Swept) error {
	for after := int64(0); ctx.Err() == nil; {
		var ids []int64
		octets := map[int64]int64{}
		err := s.o.DB.Read(ctx, func(tx *db.Tx) error {
			ids = ids[:0]
			rows, err := tx.Query(db.SQL("SELECT id, size FROM body WHERE "+w.where+" ORDER BY id LIMIT ?"), after, w.bound, sweepWalk)
			if err != nil {
				return err
			}
			return db.Each(rows, func(r db.Rows) error {
				var id, size int64
				err := r.Scan(&id, &size)
				ids, octets[id] = append(ids, id), size
				return err
			})
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		for len(ids) > 0 && ctx.Err() == nil {
			part := ids[:min(len(ids), sweepChunk)]
			ids = ids[len(part):]
			if err := s.remove(ctx, part, w, octets, done); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes those of some bodies that are still as the walk found them.
func (s *Store) remove(ctx context.Context, ids []int64, w sweeping, octets map[int64]int64, done *blob.Swept) error {
	var gone []int64
	err := s.o.DB.Write(ctx, func(tx *db.Tx) error {
		gone = nil
		if err := tx.Lock("body", "id", ids); err != nil {
			return err
		}
		err := tx.QueryIn(db.SQL("SELECT id FROM body WHERE "+w.where+" AND id IN (@ids)"),
			db.In{Before: []any{0, w.bound}, IDs: ids}, func(r db.Rows) error {
				gone = append(gone, 0)
				return r.Scan(&gone[len(gone)-1])
			})
		if err != nil {
			return err
		}
		return deleteBodies(tx, gone, w.state)
	})
	if err != nil {
		return err
	}
	for _, id := range gone {
		done.Bodies++
		done.Bytes += octets[id]
	}
	return nil
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
	for _, ref := range refs {
		if !ref.Valid() {
			return fmt.Errorf("reference %q.%q is no table and column", ref.Table, ref.Column)
		}
		if err := s.checkReference(ctx, ref, report); err != nil {
			return fmt.Errorf("check references of %s: %w", ref.Table, err)
		}
	}
	return nil
}

// checkBodies reads every body through.
func (s *Store) checkBodies(ctx context.Context, report func(string)) error {
	for after := int64(0); ; {
		ids, err := s.ids(ctx, "SELECT id FROM body WHERE id > ? AND state = 1 ORDER BY id LIMIT ?", after)
		if err != nil || len(ids) == 0 {
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
		after = ids[len(ids)-1]
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

func (s *Store) checkReference(ctx context.Context, ref blob.Reference, report func(string)) error {
	sql := fmt.Sprintf("SELECT DISTINCT %[2]s FROM %[1]s WHERE %[2]s > ? AND NOT EXISTS (SELECT 1 FROM body WHERE body.id = %[1]s.%[2]s AND state = 1) ORDER BY %[2]s LIMIT ?",
		ref.Table, ref.Column)
	for after := int64(0); ; {
		ids, err := s.ids(ctx, sql, after)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			report(fmt.Sprintf("%s.%s refers to body %s, which does not exist", ref.Table, ref.Column, mail.ID(id)))
		}
		after = ids[len(ids)-1]
	}
}

func (s *Store) ids(ctx context.Context, sql string, after int64) (ids []int64, err error) {
	err = s.o.DB.Read(ctx, func(tx *db.Tx) error {
		ids = nil
		rows, err := tx.Query(db.SQL(sql), after, sweepWalk)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			ids = append(ids, 0)
			return r.Scan(&ids[len(ids)-1])
		})
	})
	return ids, err
}
