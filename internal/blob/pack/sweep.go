package pack

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
	// sweepChunk is how many rows one write deletes.
	sweepChunk = 200
	// recordWithin is how long a body may wait between Commit and Record.
	recordWithin = time.Hour
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
	if err := s.dropUnrecorded(ctx, &done); err != nil {
		return done, err
	}
	for more := true; more; {
		if ctx.Err() != nil {
			return done, nil
		}
		if more, err = s.sweepRows(ctx, free, &done); err != nil {
			return done, blob.Interrupted(ctx, fmt.Errorf("sweep bodies: %w", err))
		}
	}
	if err := s.compact(ctx, &done); err != nil {
		return done, blob.Interrupted(ctx, fmt.Errorf("compact packs: %w", err))
	}
	return done, nil
}

// dropUnrecorded forgets bodies that nobody recorded in time. Where the answer
// to a commit was lost, the row of one may be there all the same.
func (s *Store) dropUnrecorded(ctx context.Context, done *blob.Swept) error {
	large := s.pending.expire(max(s.opt.Grace, recordWithin))
	for i, id := range large {
		_, err := s.lookup(ctx, id)
		if errors.Is(err, blob.ErrNotFound) {
			err = s.removeLarge([]mail.ID{id}, done)
		}
		if err != nil {
			for _, left := range large[i:] {
				s.pending.add(left, 0)
			}
			return err
		}
	}
	return nil
}

func (s *Store) removeLarge(ids []mail.ID, done *blob.Swept) error {
	for _, id := range ids {
		f, err := s.disk.open(largeName(id), 0)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return err
		}
		size, err := f.Size()
		if err := errors.Join(err, f.Close(), s.disk.remove(largeName(id))); err != nil {
			return err
		}
		done.Bytes += size
	}
	return nil
}

// sweepRows looks at the next rows in the order of ids and deletes those without
// a reference. It returns false at the end.
func (s *Store) sweepRows(ctx context.Context, free string, done *blob.Swept) (more bool, err error) {
	created := mail.Micros(time.Now().Add(-s.opt.Grace))
	dead, upTo, err := blob.Walk(ctx, s.db, s.cursor, "created <= ? AND "+free, created)
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

// deleteDead deletes the rows that still have no reference, counts their octets
// as dead and unlinks the large files once the rows are gone.
func (s *Store) deleteDead(ctx context.Context, free string, ids []int64, done *blob.Swept) error {
	var gone []bodyRow
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		gone = nil
		in := db.In{IDs: ids}
		err := tx.QueryIn(db.SQL("SELECT id, pack, start, length, size FROM body WHERE id IN (@ids) AND "+free), in,
			func(r db.Rows) error {
				var b bodyRow
				if err := r.Scan((*int64)(&b.id), &b.pack, &b.start, &b.length, &b.size); err != nil {
					return err
				}
				gone = append(gone, b)
				return nil
			})
		if err != nil || len(gone) == 0 {
			return err
		}
		list := make([]int64, len(gone))
		dead := map[int64]int64{}
		for i, b := range gone {
			list[i] = int64(b.id)
			dead[b.pack] += align(b.length)
		}
		if _, err := tx.ExecIn(db.SQL("DELETE FROM body WHERE id IN (@ids)"), db.In{IDs: list}); err != nil {
			return err
		}
		return addDead(tx, dead)
	})
	if err != nil {
		return err
	}
	var large []mail.ID
	for _, b := range gone {
		s.places.Forget(b.id)
		if b.pack == 0 {
			large = append(large, b.id)
		}
	}
	done.Bodies += len(gone)
	return s.removeLarge(large, done)
}

// addDead counts octets of packs as dead.
func addDead(tx *db.Tx, dead map[int64]int64) error {
	now := mail.Micros(time.Now())
	for pack, octets := range dead {
		if pack == 0 {
			continue
		}
		_, err := tx.Exec(db.SQL(`UPDATE pack SET dead = dead + ?,
			dead_since = CASE WHEN dead_since = 0 THEN ? ELSE dead_since END WHERE id = ?`), octets, now, pack)
		if err != nil {
			return err
		}
	}
	return nil
}
