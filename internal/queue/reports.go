package queue

import (
	"context"
	"math"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// rowsPerMessage bounds the recipients that Failed and Delayed read at once, as
// a multiple of the messages asked for.
const rowsPerMessage = 40

var (
	failedMessages = db.SQL("SELECT DISTINCT message FROM queue_recipient WHERE state = 4 AND next <= ? AND message > ? ORDER BY message LIMIT ?")
	servedMessages = db.SQL("SELECT DISTINCT message FROM queue_recipient WHERE state = 6 AND next <= ? AND message > ? ORDER BY message LIMIT ?")
	selectFailed   = db.SQL("SELECT " + recipientColumns + ` FROM queue_recipient
		WHERE state = 4 AND next <= ? AND message > ? AND message <= ? ORDER BY message, id LIMIT ?`)
	selectServed = db.SQL("SELECT " + recipientColumns + ` FROM queue_recipient
		WHERE state = 6 AND next <= ? AND message > ? AND message <= ? ORDER BY message, id LIMIT ?`)
	selectBusy = db.SQL("SELECT DISTINCT message FROM queue_recipient WHERE message IN (@ids) AND (state = 2 OR state IN (1, 3) AND next <= ?)")
	// The index holds what was put off, or rests, and not what has only come: most goes
	// at once, and pays for no place in it.
	selectLate = db.SQL("SELECT " + recipientColumns + ` FROM queue_recipient
		WHERE (state = 3 OR state = 1 AND next > received + 5000000) AND delayed = 0 AND received <= ? ORDER BY received, message, id LIMIT ?`)
	selectOwed = db.SQL("SELECT " + recipientColumns + ` FROM queue_recipient
		WHERE state IN (1, 3) AND tell > 0 AND tell <= ? ORDER BY tell, message, id LIMIT ?`)
	markDelayed = db.SQL("UPDATE queue_recipient SET delayed = 1, tell = CASE WHEN tell <= ? THEN 0 ELSE tell END WHERE id IN (@ids) AND state IN (1, 3)")
	messagesOf  = db.SQL("SELECT DISTINCT message FROM queue_recipient WHERE id IN (@ids)")
	settleRows  = db.SQL("DELETE FROM queue_recipient WHERE id IN (@ids) AND state IN (4, 6)")
)

// FailedWake gets a value when recipients have failed, or were served and their
// sender wants to know of it.
func (q *Queue) FailedWake() <-chan struct{} { return q.failed }

// Failed returns up to limit messages behind an id with their failed
// recipients, whose reports are to be written. A message with very many of them
// comes in parts. One whose other recipients are under way or due is left alone for a
// minute from its first failure on, so that one report tells of all.
func (q *Queue) Failed(ctx context.Context, after mail.ID, limit int) ([]*Message, error) {
	return q.ended(ctx, after, limit, ended{failedMessages, selectFailed, math.MaxInt64})
}

// Served returns up to limit messages behind an id with their recipients of
// whose success the sender is to be told by now, as Failed does.
func (q *Queue) Served(ctx context.Context, after mail.ID, limit int) ([]*Message, error) {
	return q.ended(ctx, after, limit, ended{servedMessages, selectServed, micros()})
}

// Delayed returns messages with those recipients of whose delay the sender is to
// hear now: up to limit that have waited for long, tried or not, and up to limit that have
// nothing by the time that the sender gave.
func (q *Queue) Delayed(ctx context.Context, limit int) ([]*Message, error) {
	now := micros()
	out, err := q.some(ctx, limit, func(tx *db.Tx) (db.Rows, error) {
		return tx.Query(selectOwed, now, limit*rowsPerMessage)
	})
	notice := q.o.Settings().DelayNotice
	if err != nil || notice <= 0 {
		return out, err
	}
	late, err := q.some(ctx, limit, func(tx *db.Tx) (db.Rows, error) {
		return tx.Query(selectLate, now-notice.Microseconds(), limit*rowsPerMessage)
	})
	for _, m := range late {
		if !slices.ContainsFunc(out, func(o *Message) bool { return o.ID == m.ID }) {
			out = append(out, m)
		}
	}
	return out, err
}

func (q *Queue) some(ctx context.Context, limit int, query func(*db.Tx) (db.Rows, error)) ([]*Message, error) {
	var out []*Message
	err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
		rows, err := query(tx)
		if err != nil {
			return err
		}
		out, err = whole(tx, rows, limit)
		return err
	})
	return out, err
}

// whole reads up to limit messages. The last may be cut off by the end of the rows: it
// is left for the next look, unless it is alone.
func whole(tx *db.Tx, rows db.Rows, limit int) ([]*Message, error) {
	var g group
	n := 0
	err := db.Each(rows, func(r db.Rows) error { n++; return g.add(r) })
	if err != nil {
		return nil, err
	}
	if n == limit*rowsPerMessage && len(g.order) > 1 {
		g.order = g.order[:len(g.order)-1]
	}
	g.order = g.order[:min(len(g.order), limit)]
	return g.messages(tx)
}

// Settle takes failed and served recipients out of the queue, in the commit that holds
// their report or says that there is none. If one of them is not there any more,
// since somebody deleted it meanwhile, the error is ErrNotFound: that report would
// tell of too many.
func (q *Queue) Settle(tx *db.Tx, recipients []mail.ID) error {
	ids := plainIDs(recipients)
	var owners []int64
	err := tx.QueryIn(messagesOf, db.In{IDs: ids}, func(rows db.Rows) error {
		var id int64
		err := rows.Scan(&id)
		owners = append(owners, id)
		return err
	})
	if err != nil {
		return err
	}
	n, err := tx.ExecIn(settleRows, db.In{IDs: ids})
	if err != nil {
		return err
	}
	if n < int64(len(ids)) {
		return ErrNotFound
	}
	if err := dropMessages(tx, owners); err != nil {
		return err
	}
	// There may be more than one look took.
	tx.OnCommit(func() { signal(q.failed) })
	return nil
}

// MarkDelayed records that the sender was told of the delay, in the commit that
// holds the notice. If one of them does not wait any more, since it was delivered
// meanwhile, given up, or is under way again, the error is ErrNotFound: that notice
// would tell of too many.
func (q *Queue) MarkDelayed(tx *db.Tx, recipients []mail.ID) error {
	n, err := tx.ExecIn(markDelayed, db.In{Before: []any{micros()}, IDs: plainIDs(recipients)})
	if err == nil && n < int64(len(recipients)) {
		return ErrNotFound
	}
	return err
}

func plainIDs(ids []mail.ID) []int64 {
	out := make([]int64, len(ids))
	for i, id := range ids {
		out[i] = int64(id)
	}
	return out
}
