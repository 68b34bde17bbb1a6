package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// together is how long recipients of a message that have failed, or were served, wait for
// those that are under way or due: one report tells of all that end within it.
const together = time.Minute

// endedAt notes when an attempt ended a recipient: since then its report waits.
func (r *Recipient) endedAt(now int64) {
	if r.State == Failed || r.State == Served {
		r.Next = now
	}
}

// ended asks for recipients in one of the states that are to be reported: for the
// messages behind an id that have some, and for their rows.
type ended struct {
	messages, rows db.Stmt
	until          int64 // later ones are not to be reported yet
}

// ended returns messages whose reports are to be written now, with the recipients that
// they tell of, and passes over those that wait for their siblings.
func (q *Queue) ended(ctx context.Context, after mail.ID, limit int, of ended) ([]*Message, error) {
	for {
		var l look
		err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			l, err = q.look(tx, after, limit, of)
			return err
		})
		if err == nil && len(l.waiting) > 0 {
			err = q.gather(ctx, l.waiting, l.over)
		}
		if err != nil || len(l.out) > 0 || l.last == 0 {
			return l.out, err
		}
		after = l.last
	}
}

// look is what one read found.
type look struct {
	out     []*Message
	waiting []int64 // messages that are left alone
	over    int64   // when the first of them is so no longer
	last    mail.ID // the last message that was looked at; 0 = there was none
}

// look reads who has siblings that are busy before it reads the rows: what ends between
// the two is among the rows, whatever else the transaction sees.
func (q *Queue) look(tx *db.Tx, after mail.ID, limit int, of ended) (l look, err error) {
	now := micros()
	ids, err := readIDs(tx, nil, of.messages, of.until, int64(after), limit)
	if err != nil || len(ids) == 0 {
		return l, err
	}
	busy, err := busy(tx, ids, now)
	if err != nil {
		return l, err
	}
	rows, err := tx.Query(of.rows, of.until, int64(after), ids[len(ids)-1], limit*rowsPerMessage)
	if err != nil {
		return l, err
	}
	list, err := whole(tx, rows, limit)
	if l.last = mail.ID(ids[len(ids)-1]); len(list) > 0 {
		l.last = list[len(list)-1].ID
	}
	for _, m := range list {
		first := m.Recipients[0].Next
		for i := range m.Recipients {
			first = min(first, m.Recipients[i].Next)
		}
		switch _, known := slices.BinarySearch(ids, int64(m.ID)); {
		case !known: // it has only now ended, and whoever did that wakes us
		case !busy[m.ID], first > now, first+together.Microseconds() <= now, len(m.Recipients) == limit*rowsPerMessage:
			l.out = append(l.out, m)
		default:
			if over := first + together.Microseconds(); l.over == 0 || over < l.over {
				l.over = over
			}
			l.waiting = append(l.waiting, int64(m.ID))
		}
	}
	return l, err
}

// busy are those messages of which recipients are under way or due.
func busy(tx *db.Tx, ids []int64, now int64) (map[mail.ID]bool, error) {
	out := map[mail.ID]bool{}
	err := tx.QueryIn(selectBusy, db.In{IDs: ids, After: []any{now}}, func(rows db.Rows) error {
		var id mail.ID
		err := rows.Scan(&id)
		out[id] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for recipients that are under way: %w", err)
	}
	return out, nil
}

// gather has FailedWake told when a recipient of these messages is done, or their time is
// over. A restart forgets that, and looks at all.
func (q *Queue) gather(ctx context.Context, ids []int64, over int64) error {
	q.mu.Lock()
	for _, id := range ids {
		q.gathered[mail.ID(id)] = true
	}
	if q.alarm == nil {
		q.alarm = time.AfterFunc(time.Duration(over-micros())*time.Microsecond, q.gatherAnew)
	}
	q.mu.Unlock()
	// One may have been done before we listened.
	return q.o.DB.Read(ctx, func(tx *db.Tx) error {
		still, err := busy(tx, ids, micros())
		if err == nil && len(still) < len(ids) {
			signal(q.failed)
		}
		return err
	})
}

// gatherSoon has a new look find whether a message waits for nobody any more: at most once
// a second, since it passes over all that wait. q.mu is held.
func (q *Queue) gatherSoon() {
	if q.alarm != nil && !q.soon {
		q.soon = true
		q.alarm.Reset(time.Second)
	}
}

// gatherAnew has a new look find who still waits.
func (q *Queue) gatherAnew() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.gathered)
	q.alarm, q.soon = nil, false
	signal(q.failed)
}
