package s3

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	collectWalk  = 500
	collectChunk = 50
	// deletesAtOnce is how many objects are deleted at the same time.
	deletesAtOnce = 8
)

// each calls f with chunks of the objects that a condition selects, until there
// are none.
func (s *Store) each(ctx context.Context, where string, args []any, f func([]objectRow) error) error {
	for last := mail.ID(0); ; {
		rows, err := s.objects(ctx, where, last, collectWalk, args...)
		if err != nil || len(rows) == 0 {
			return err
		}
		last = rows[len(rows)-1].id
		for chunk := range slices.Chunk(rows, collectChunk) {
			if ctx.Err() != nil {
				return nil
			}
			if err := f(chunk); err != nil {
				return err
			}
		}
	}
}

// left returns the objects on which nobody works any more: of this process
// those that are not held, of another those that are too old for it.
func (s *Store) left(rows []objectRow) []int64 {
	old := s.before(s.opt.stranger)
	var ids []int64
	for _, o := range rows {
		if o.owner == s.owner && !s.pending.held(o.id) || o.owner != s.owner && o.created <= old {
			ids = append(ids, int64(o.id))
		}
	}
	return ids
}

// update changes rows of objects in one transaction, in which they are locked.
func (s *Store) update(ctx context.Context, sql string, before []any, ids []int64, after ...any) error {
	if len(ids) == 0 {
		return nil
	}
	return s.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.Lock("s3_object", "id", ids); err != nil {
			return err
		}
		_, err := tx.ExecIn(db.SQL(sql), db.In{Before: before, IDs: ids, After: after})
		return err
	})
}

// settle closes objects of which no more bodies will be recorded and counts
// what was never recorded as dead.
func (s *Store) settle(ctx context.Context, _ *blob.Swept) error {
	const sql = `UPDATE s3_object SET state = 2,
		dead = size - (SELECT COALESCE(SUM(length), 0) FROM body WHERE body.object = s3_object.id),
		dead_since = CASE WHEN dead_since > 0 THEN dead_since
			WHEN size > (SELECT COALESCE(SUM(length), 0) FROM body WHERE body.object = s3_object.id) THEN created
			WHEN NOT EXISTS (SELECT 1 FROM body WHERE body.object = s3_object.id) THEN created
			ELSE 0 END
		WHERE id IN (@ids) AND state = 1`
	return s.each(ctx, "state = 1 AND changed <= ?", []any{s.before(s.opt.Grace)}, func(rows []objectRow) error {
		return s.update(ctx, sql, nil, s.left(rows))
	})
}

// condemnIntents gives up objects of which no body was recorded in time. Their
// request may have been lost, or may still be on its way.
func (s *Store) condemnIntents(ctx context.Context, _ *blob.Swept) error {
	return s.each(ctx, "state = 0", nil, func(rows []objectRow) error {
		return s.update(ctx, "UPDATE s3_object SET state = 3, changed = ? WHERE id IN (@ids) AND state = 0",
			[]any{mail.Micros(time.Now())}, s.left(rows))
	})
}

// condemnEmpty gives up the settled objects that have had no body for the grace
// time: who reads one that was just deleted may finish.
func (s *Store) condemnEmpty(ctx context.Context, _ *blob.Swept) error {
	const empty = "NOT EXISTS (SELECT 1 FROM body WHERE body.object = s3_object.id)"
	where := "state = 2 AND dead_since > 0 AND changed <= ? AND " + empty
	return s.each(ctx, where, []any{s.before(s.opt.Grace)}, func(rows []objectRow) error {
		return s.update(ctx, "UPDATE s3_object SET state = 3, changed = ? WHERE id IN (@ids) AND state = 2 AND "+empty,
			[]any{mail.Micros(time.Now())}, idsOf(rows))
	})
}

func idsOf(rows []objectRow) []int64 {
	ids := make([]int64, len(rows))
	for i, o := range rows {
		ids[i] = int64(o.id)
	}
	return ids
}

// deleteCondemned deletes objects for the first time. Their rows have said for
// good that nothing is to be recorded there.
func (s *Store) deleteCondemned(ctx context.Context, done *blob.Swept) error {
	return s.each(ctx, "state = 3", nil, func(rows []objectRow) error {
		gone, failed := s.deleteObjects(ctx, rows)
		err := s.update(ctx, "UPDATE s3_object SET state = 4, changed = ? WHERE id IN (@ids) AND state = 3",
			[]any{mail.Micros(time.Now())}, idsOf(gone))
		if err == nil {
			for _, o := range gone {
				done.Bytes += o.size
			}
		}
		return errors.Join(failed, err)
	})
}

// deleteErased deletes objects once more, long after: a request that nobody got
// an answer to may have stored one behind the first deletion. Then the row goes.
func (s *Store) deleteErased(ctx context.Context, _ *blob.Swept) error {
	return s.each(ctx, "state = 4 AND changed <= ?", []any{s.before(s.opt.late)}, func(rows []objectRow) error {
		gone, failed := s.deleteObjects(ctx, rows)
		return errors.Join(failed, s.update(ctx, "DELETE FROM s3_object WHERE id IN (@ids) AND state = 4", nil, idsOf(gone)))
	})
}

// deleteObjects deletes objects in the bucket and returns those of which that
// is sure.
func (s *Store) deleteObjects(ctx context.Context, rows []objectRow) ([]objectRow, error) {
	errs := make([]error, len(rows))
	places := make(chan struct{}, deletesAtOnce)
	var wg sync.WaitGroup
	for i, o := range rows {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			errs[i] = s.deleteObject(ctx, o)
		})
	}
	wg.Wait()
	var gone []objectRow
	for i, o := range rows {
		if errs[i] == nil {
			gone = append(gone, o)
		}
	}
	return gone, errors.Join(errs...)
}

func (s *Store) deleteObject(ctx context.Context, o objectRow) error {
	if o.size == 0 { // it was never kept, so parts of an upload may lie about
		if err := s.client.abortUploads(ctx, s.key(o.id)); err != nil {
			return err
		}
	}
	return s.client.remove(ctx, s.key(o.id))
}
