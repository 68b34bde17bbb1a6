package queue

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// slice is how many rows one read or write of a long walk looks at.
const slice = 500

var (
	selectStale = db.SQL("SELECT id, wish FROM queue_recipient WHERE id > ? AND state = 2 AND owner <> ? ORDER BY id LIMIT ?")
	// One that nobody had tried has been by now, for all that anybody knows (see Recover).
	freeRows = db.SQL("UPDATE queue_recipient SET state = 1, owner = 0, attempts = CASE WHEN attempts = 0 THEN 1 ELSE attempts END WHERE id IN (@ids) AND state = 2")
)

// Recover frees the leases of processes that are gone and returns how many
// there were. Each had an attempt, as far as anybody knows: a first one is counted, so
// that nobody takes back what may have arrived. Later ones are not, or a server that
// dies often would lengthen the waits of what it never got to. It needs an engine that no other process
// uses; Run does it by itself.
func (q *Queue) Recover(ctx context.Context) (int64, error) {
	var total, after int64
	for {
		var stale []staleRow
		err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			stale, err = q.stale(tx, after)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("leases of the last process: %w", err)
		}
		if len(stale) == 0 {
			return total, nil
		}
		if err := q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error { return q.free(tx, stale) }); err != nil {
			return total, fmt.Errorf("free leases: %w", err)
		}
		total += int64(len(stale))
		after = stale[len(stale)-1].id
	}
}

type staleRow struct {
	id   int64
	wish wish
}

func (q *Queue) stale(tx *db.Tx, after int64) ([]staleRow, error) {
	rows, err := tx.Query(selectStale, after, int64(q.owner), slice)
	if err != nil {
		return nil, err
	}
	var out []staleRow
	err = db.Each(rows, func(r db.Rows) error {
		var s staleRow
		err := r.Scan(&s.id, &s.wish)
		out = append(out, s)
		return err
	})
	return out, err
}

// free queues rows again and grants the wishes that stand on some of them.
func (q *Queue) free(tx *db.Tx, stale []staleRow) error {
	var plain []int64
	wished := map[wish][]int64{}
	for _, s := range stale {
		if s.wish == 0 {
			plain = append(plain, s.id)
		} else {
			wished[s.wish] = append(wished[s.wish], s.id)
		}
	}
	if _, err := tx.ExecIn(freeRows, db.In{IDs: plain}); err != nil {
		return err
	}
	for w := wishHold; w <= lastWish; w++ {
		if len(wished[w]) == 0 {
			continue
		}
		v := verb{to: Held, holder: w.holder(), by: byRecover, event: wishHold.event(), now: micros()}
		if w == wishBounce {
			v.to, v.event = Failed, w.event()
		}
		if _, err := q.move(tx, wished[w], v); err != nil {
			return err
		}
	}
	return nil
}
