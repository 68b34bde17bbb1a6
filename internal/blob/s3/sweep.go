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

// sweepChunk is how many rows one write deletes.
const sweepChunk = 200

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
			return done, blob.Interrupted(ctx, fmt.Errorf("sweep bodies: %w", err))
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
			return done, blob.Interrupted(ctx, fmt.Errorf("%s: %w", step.what, err))
		}
	}
	return done, nil
}

// sweepRows looks at the next rows in the order of ids and deletes those without
// a reference. It returns false at the end.
func (s *Store) sweepRows(ctx context.Context, free string, done *blob.Swept) (more bool, err error) {
	dead, upTo, err := blob.Walk(ctx, s.db, s.cursor, "created <= ? AND "+free, s.before(s.opt.Grace))
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

// deleteDead deletes the rows that still have no reference and counts their
// octets as dead. Objects are taken first, as Record does; then the bodies, so
// that nobody refers to one between the look and the deletion.
func (s *Store) deleteDead(ctx context.Context, free string, ids []int64, done *blob.Swept) error {
	var gone []bodyRow
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		gone = nil
		var objects []int64
		err := tx.QueryIn(db.SQL("SELECT DISTINCT object FROM body WHERE id IN (@ids)"), db.In{IDs: ids}, func(r db.Rows) error {
			objects = append(objects, 0)
			return r.Scan(&objects[len(objects)-1])
		})
		if err != nil {
			return err
		}
		slices.Sort(objects)
		objects = slices.Compact(objects) // more ids than fit one statement give some twice
		if err := errors.Join(tx.Lock("s3_object", "id", objects), tx.Lock("body", "id", ids)); err != nil {
			return err
		}
		err = tx.QueryIn(db.SQL("SELECT id, object, size FROM body WHERE id IN (@ids) AND "+free), db.In{IDs: ids},
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
		s.places.Forget(b.id)
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
