package event

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// A Message-ID is found by its key, a hash. Sorted by a hash, every message of a
// commit has a page of its own to change, which would be most of what a commit
// writes. So keys are written in the order in which they come, into
// event_key_fresh, and moved to event_key, sorted, many at a time.

const (
	// fewKeys are left where they are: a trace reads them all.
	fewKeys = 10_000
	// manyKeys are sorted at once.
	manyKeys = 50_000
	// keyChunk keeps one write well under 20 ms.
	keyChunk = 2000
)

var (
	insertFresh  = db.Insert{Into: "event_key_fresh", Columns: []string{"event", "key"}}
	insertSorted = db.Insert{Into: "event_key", Columns: []string{"key", "event"}, Conflict: "ON CONFLICT DO NOTHING"}

	sqlFresh     = db.SQL("SELECT event, key FROM event_key_fresh ORDER BY event LIMIT ?")
	sqlDropFresh = db.SQL("DELETE FROM event_key_fresh WHERE event IN (@ids)")
	sqlByKey     = db.SQL(`SELECT message, detail FROM event WHERE id IN (
			SELECT event FROM event_key WHERE key = ? UNION SELECT event FROM event_key_fresh WHERE key = ?)
		ORDER BY id DESC LIMIT ?`)

	sqlPruneFresh  = db.SQL("DELETE FROM event_key_fresh WHERE event < ?")
	sqlPruneSorted = db.SQL("DELETE FROM event_key WHERE event < ? AND key IN (@ids)")
)

// KeyOf returns the hash by which a Message-ID is found, 0 for none.
func KeyOf(messageID string) int64 {
	id := bare(messageID)
	if id == "" {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // a hash never fails
	return max(1, int64(h.Sum64()>>1))
}

// bare is a Message-ID without its brackets and the space around it.
func bare(messageID string) string {
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(messageID), "<>"))
}

// freshKey is a row of event_key_fresh.
type freshKey struct{ event, key int64 }

// SortKeys moves the keys of new events to where they are found faster, once there
// are many of them, and returns how many went. It may end at any point: a key that
// stands at both places is found once.
func (l *Log) SortKeys(ctx context.Context) (total int, err error) {
	for ctx.Err() == nil {
		fresh, err := l.freshKeys(ctx)
		if err != nil {
			return total, fmt.Errorf("keys of new events: %w", err)
		}
		if len(fresh) <= fewKeys {
			return total, nil
		}
		if err := l.sortKeys(ctx, fresh); err != nil {
			return total, fmt.Errorf("keys of new events stay unsorted: %w", err)
		}
		total += len(fresh)
	}
	return total, context.Cause(ctx)
}

func (l *Log) freshKeys(ctx context.Context) ([]freshKey, error) {
	var out []freshKey
	err := l.db.Read(ctx, func(tx *db.Tx) error {
		out = out[:0]
		rows, err := tx.Query(sqlFresh, manyKeys)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var k freshKey
			err := r.Scan(&k.event, &k.key)
			out = append(out, k)
			return err
		})
	})
	return out, err
}

// sortKeys takes keys in the order of their events.
func (l *Log) sortKeys(ctx context.Context, fresh []freshKey) error {
	sorted := slices.Clone(fresh)
	slices.SortFunc(sorted, func(a, b freshKey) int { return cmp.Compare(a.key, b.key) })
	for chunk := range slices.Chunk(sorted, keyChunk) {
		rows := make([][]any, len(chunk))
		for i, k := range chunk {
			rows[i] = []any{k.key, k.event}
		}
		if err := l.db.Write(ctx, func(tx *db.Tx) error { return tx.Insert(insertSorted, rows...) }); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(fresh, keyChunk) {
		ids := make([]int64, len(chunk))
		for i, k := range chunk {
			ids[i] = k.event
		}
		err := l.db.Write(ctx, func(tx *db.Tx) error {
			_, err := tx.ExecIn(sqlDropFresh, db.In{IDs: ids})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pruneKeys forgets the keys of events from before limit that were deleted.
func pruneKeys(tx *db.Tx, limit mail.ID, keys []int64) error {
	if _, err := tx.Exec(sqlPruneFresh, int64(limit)); err != nil {
		return err
	}
	_, err := tx.ExecIn(sqlPruneSorted, db.In{Before: []any{int64(limit)}, IDs: keys})
	return err
}
