package queue

import (
	"context"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// eachSlice is how many messages one read of Each looks at: they may have thousands of
// recipients.
const eachSlice = 20

var (
	selectAfter = db.SQL("SELECT id FROM queue_message WHERE id > ? ORDER BY id LIMIT ?")
	selectNamed = db.SQL("SELECT DISTINCT message FROM queue_recipient WHERE id IN (@ids)")
	selectExist = db.SQL("SELECT id FROM queue_message WHERE id IN (@ids)")
)

// Each calls fn with every message that has recipients chosen, with those alone, each
// message once and in the order of the ids. It holds a few messages at a time, and no
// transaction while fn runs; an error of fn ends it.
func (q *Queue) Each(ctx context.Context, f Filter, fn func(*Message) error) error {
	f, err := q.ready(ctx, f)
	if err != nil {
		return err
	}
	given, err := q.given(ctx, f)
	if err != nil {
		return err
	}
	for after := int64(0); ; {
		var list []*Message
		var ids []int64
		err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			if ids, err = nextMessages(tx, f, given, after); err == nil {
				list, err = f.of(tx, ids)
			}
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, m := range list {
			if err := fn(m); err != nil {
				return err
			}
		}
		after = ids[len(ids)-1]
	}
}

// given are the messages that the ids of a filter name, ascending.
func (q *Queue) given(ctx context.Context, f Filter) (ids []int64, err error) {
	if len(f.IDs) == 0 {
		return nil, nil
	}
	err = q.o.DB.Read(ctx, func(tx *db.Tx) error {
		ids = ids[:0]
		for _, s := range []db.Stmt{selectNamed, selectExist} {
			err := tx.QueryIn(s, db.In{IDs: plainIDs(f.IDs)}, func(rows db.Rows) error {
				var id int64
				err := rows.Scan(&id)
				ids = append(ids, id)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(ids)
	return slices.Compact(ids), err
}

// nextMessages are the next few to look at.
func nextMessages(tx *db.Tx, f Filter, given []int64, after int64) ([]int64, error) {
	if len(f.IDs) == 0 {
		return readIDs(tx, nil, selectAfter, after, eachSlice)
	}
	at, _ := slices.BinarySearch(given, after+1)
	return given[at:min(at+eachSlice, len(given))], nil
}

// of reads those of some messages' recipients that are chosen.
func (f Filter) of(tx *db.Tx, messages []int64) ([]*Message, error) {
	condition, args := f.condition()
	var ids []int64
	s := db.SQL("SELECT r.id, r.message" + f.last() + filtered + condition + " AND r.message IN (@ids)")
	err := tx.QueryIn(s, db.In{Before: args, IDs: messages}, func(rows db.Rows) error {
		var id, message mail.ID
		wanted, err := f.row(rows, &id, &message)
		if wanted && (len(f.IDs) == 0 || slices.Contains(f.IDs, id) || slices.Contains(f.IDs, message)) {
			ids = append(ids, int64(id))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	var g group
	if err := tx.QueryIn(selectRecipients, db.In{IDs: ids}, g.add); err != nil {
		return nil, err
	}
	slices.Sort(g.order)
	return g.messages(tx)
}
