package s3

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

const (
	// sweepWalk is how many rows one read looks at, sweepChunk how many one
	// write deletes.
	sweepWalk  = 1000
	sweepChunk = 200
)

// Sweep implements blob.Store. A sweep that ctx ended is continued by the next.
func (s *Store) Sweep(ctx context.Context, refs []blob.Reference) (blob.Swept, error) {
	var done blob.Swept
	ctx, end, err := s.begin(db.WithReserve(ctx))
	if err != nil {
		return done, err
	}
	defer end()
	free, err := blob.Unreferenced(refs)
	if err != nil {
		return done, err
	}
	s.pending.expire(max(s.opt.Grace, recordWithin))
	for more := true; more; {
		if ctx.Err() != nil {
			return done, nil
		}
		if more, err = s.sweepRows(ctx, free, &done); err != nil {
			return done, stopped(ctx, fmt.Errorf("sweep bodies: %w", err))
		}
	}
	for _, step := range []struct {
		what string
		run  func(context.Context, *blob.Swept) error
	}{
		{"settle objects", s.settle},
		{"condemn intents", s.condemnIntents},
		{"condemn empty objects", s.condemnEmpty},
		{"compact objects", s.compact},
		{"delete objects", s.deleteCondemned},
		{"delete objects again", s.deleteErased},
	} {
		if ctx.Err() != nil {
			return done, nil
		}
		if err := step.run(ctx, &done); err != nil {
			return done, stopped(ctx, fmt.Errorf("%s: %w", step.what, err))
		}
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

// sweepRows looks at the next rows in the order of ids and deletes those without
// a reference. It returns false at the end.
func (s *Store) sweepRows(ctx context.Context, free string, done *blob.Swept) (more bool, err error) {
	upTo, dead, err := s.findDead(ctx, free, s.before(s.opt.Grace))
	if err != nil {
		return false, err
	}
	for chunk := range slices.Chunk(dead, sweepChunk) {
		if err := s.deleteDead(ctx, free, chunk, done); err != nil {
			return false, err
		}
	}
	s.cursor = upTo
	return upTo != 0, nil
}

// before is the time that lies so long back.
func (s *Store) before(age time.Duration) int64 { return mail.Micros(time.Now().Add(-age)) }

// findDead returns the bodies without a reference among the next sweepWalk rows,
// and where it stopped, 0 = the end.
func (s *Store) findDead(ctx context.Context, free string, created int64) (upTo mail.ID, dead []bodyRow, err error) {
	err = s.db.Read(ctx, func(tx *db.Tx) error {
		dead, upTo = nil, 0
		err := tx.Row(db.SQL("SELECT id FROM body WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?"),
			[]any{int64(s.cursor), sweepWalk - 1}, (*int64)(&upTo))
		if err != nil && !errors.Is(err, db.ErrNoRows) {
			return err
		}
		sql, args := "SELECT id, object FROM body WHERE id > ? AND created <= ? AND "+free, []any{int64(s.cursor), created}
		if upTo != 0 {
			sql, args = sql+" AND id <= ?", append(args, int64(upTo))
		}
		rows, err := tx.Query(db.SQL(sql), args...)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var b bodyRow
			err := r.Scan((*int64)(&b.id), (*int64)(&b.object))
			dead = append(dead, b)
			return err
		})
	})
	return upTo, dead, err
}

// deleteDead deletes the rows that still have no reference and counts their
// octets as dead. Objects are taken first, as Record does; then the bodies, so
// that nobody refers to one between the look and the deletion.
func (s *Store) deleteDead(ctx context.Context, free string, dead []bodyRow, done *blob.Swept) error {
	ids := make([]int64, len(dead))
	var objects []int64
	for i, b := range dead {
		ids[i] = int64(b.id)
		objects = append(objects, int64(b.object))
	}
	slices.Sort(objects)
	objects = slices.Compact(objects)
	slices.Sort(ids)
	var gone []bodyRow
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		gone = nil
		if err := errors.Join(tx.Lock("s3_object", "id", objects), tx.Lock("body", "id", ids)); err != nil {
			return err
		}
		err := tx.QueryIn(db.SQL("SELECT id, object, size FROM body WHERE id IN (@ids) AND "+free), db.In{IDs: ids},
			func(r db.Rows) error {
				var b bodyRow
				err := r.Scan((*int64)(&b.id), (*int64)(&b.object), &b.size)
				gone = append(gone, b)
				return err
			})
		if err != nil || len(gone) == 0 {
			return err
		}
		list := make([]int64, len(gone))
		octets := map[mail.ID]int64{}
		for i, b := range gone {
			list[i] = int64(b.id)
			octets[b.object] += b.size
		}
		if _, err := tx.ExecIn(db.SQL("DELETE FROM body WHERE id IN (@ids)"), db.In{IDs: list}); err != nil {
			return err
		}
		return addDead(tx, octets)
	})
	if err != nil {
		return err
	}
	for _, b := range gone {
		s.places.forget(b.id)
		s.cache.forget(b.id, b.size)
	}
	done.Bodies += len(gone)
	return nil
}

// addDead counts octets of objects as dead, in the order of their ids.
func addDead(tx *db.Tx, octets map[mail.ID]int64) error {
	now := mail.Micros(time.Now())
	var ids []mail.ID
	for id := range octets {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		_, err := tx.Exec(db.SQL(`UPDATE s3_object SET dead = dead + ?, changed = ?,
			dead_since = CASE WHEN dead_since = 0 THEN ? ELSE dead_since END WHERE id = ?`), octets[id], now, now, int64(id))
		if err != nil {
			return err
		}
	}
	return nil
}
