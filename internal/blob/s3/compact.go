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
	// compactChunk is how many bodies, or compactBytes how many octets, go into
	// one new object.
	compactChunk = 512
	compactBytes = 4 << 20
)

// compact moves what lives in objects that are mostly dead, or that have held
// dead bytes for as long as they may, to new objects.
func (s *Store) compact(ctx context.Context, _ *blob.Swept) error {
	c := compaction{s: s}
	overdue := s.before(time.Duration(s.erase.Load()))
	where := "state = 2 AND dead_since > 0 AND (dead * 2 >= size OR dead_since <= ?)"
	err := s.each(ctx, where, []any{overdue}, func(rows []objectRow) error {
		for _, o := range rows {
			if s.unfit[o.id] || ctx.Err() != nil {
				continue
			}
			if err := c.object(ctx, o.id); err != nil {
				return fmt.Errorf("object %s: %w", o.id, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.flush(ctx)
}

// move is a body on its way to another object.
type move struct {
	bodyRow
	job *job
}

// compaction gathers bodies of several objects.
type compaction struct {
	s      *Store
	moves  []move
	octets int64
}

// object takes the living bodies of an object. What still can be read of one
// that is damaged stays readable where it is.
func (c *compaction) object(ctx context.Context, id mail.ID) error {
	for last := (bodyRow{}); ; {
		rows, err := c.s.bodiesOf(ctx, id, last, compactChunk)
		if err != nil || len(rows) == 0 {
			return err
		}
		last = rows[len(rows)-1]
		if slices.ContainsFunc(rows, func(b bodyRow) bool { return b.size > blob.InMemory }) {
			c.s.unfit[id] = true
			return errors.New("it holds a large body and something dead, which cannot be")
		}
		err = c.s.eachBody(ctx, id, rows, func(b bodyRow, octets []byte, err error) error {
			if err != nil {
				return err
			}
			return c.add(ctx, b, octets)
		})
		if errors.Is(err, blob.ErrCorrupt) || errors.Is(err, errMissing) {
			c.s.unfit[id] = true
			c.s.log.Error("object holds a damaged body and is kept", "object", id, "error", err)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *compaction) add(ctx context.Context, b bodyRow, octets []byte) error {
	// The copy lets go of the span that the octets were read with.
	j := &job{body: indexed{id: b.id, length: b.length}, sums: b.sums, chunks: [][]byte{slices.Clone(octets)}}
	c.moves = append(c.moves, move{bodyRow: b, job: j})
	c.octets += b.length
	if len(c.moves) < compactChunk && c.octets < compactBytes {
		return nil
	}
	return c.flush(ctx)
}

// flush stores what was gathered and commits the new places.
func (c *compaction) flush(ctx context.Context) error {
	moves := c.moves
	c.moves, c.octets = nil, 0
	if len(moves) == 0 {
		return nil
	}
	jobs := make([]*job, len(moves))
	for i, m := range moves {
		jobs[i] = m.job
	}
	object, size, err := c.s.writeObject(ctx, jobs)
	if err != nil {
		return err
	}
	defer c.s.pending.release(object)
	return c.s.db.Write(ctx, func(tx *db.Tx) error { return c.s.setPlaces(tx, object, size, moves) })
}

// setPlaces keeps the new object, moves the rows to it and condemns the old
// objects that are empty now. What was deleted meanwhile is dead in the new one.
func (s *Store) setPlaces(tx *db.Tx, object mail.ID, size int64, moves []move) error {
	now := mail.Micros(time.Now())
	var old []int64
	for _, m := range moves {
		old = append(old, int64(m.object))
	}
	slices.Sort(old)
	old = slices.Compact(old)
	if err := tx.Lock("s3_object", "id", append([]int64{int64(object)}, old...)); err != nil {
		return err
	}
	n, err := tx.Exec(db.SQL("UPDATE s3_object SET state = 1, size = ?, changed = ? WHERE id = ? AND state = 0"), size, now, int64(object))
	if err == nil && n != 1 {
		err = fmt.Errorf("object %s was given up", object)
	}
	if err != nil {
		return err
	}
	var dead int64
	for _, m := range moves {
		n, err := tx.Exec(db.SQL("UPDATE body SET object = ?, start = ? WHERE id = ? AND object = ? AND start = ?"),
			int64(object), m.job.body.start, int64(m.id), int64(m.object), m.start)
		if err != nil {
			return err
		}
		if n == 0 {
			dead += m.length
		}
	}
	if dead > 0 {
		if err := addDead(tx, map[mail.ID]int64{object: dead}); err != nil {
			return err
		}
	}
	_, err = tx.ExecIn(db.SQL(`UPDATE s3_object SET state = 3, changed = ? WHERE id IN (@ids) AND state = 2
		AND NOT EXISTS (SELECT 1 FROM body WHERE body.object = s3_object.id)`), db.In{Before: []any{now}, IDs: old})
	if err != nil {
		return err
	}
	tx.OnCommit(func() {
		for _, m := range moves {
			s.places.Forget(m.id)
		}
	})
	return nil
}
