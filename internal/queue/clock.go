package queue

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// fast is by how much a clock may be set back before anything is set right for it.
const fast = time.Minute

var (
	selectNew = db.SQL("SELECT id, received, until FROM queue_message WHERE id > ? ORDER BY id LIMIT ?")
	// What was reckoned from the time of acceptance moves with it, the time that the sender
	// gave too: HOLDFOR, BY and submission.hold count from there.
	shiftMessage = db.SQL(`UPDATE queue_message SET received = received - ?, expires = expires - ?,
		deadline = CASE WHEN deadline > 0 THEN deadline - ? ELSE 0 END WHERE id = ?`)
	// HOLDUNTIL does not, nor what was reckoned from it: it is a date (RFC 4865 §4).
	shiftAccepted = db.SQL("UPDATE queue_message SET received = received - ? WHERE id = ?")
	// What is under way keeps the time that names its lease (see claimed).
	shiftRecipients = db.SQL(`UPDATE queue_recipient SET received = received - ?, next = CASE WHEN state <> 2 AND next > ? THEN next - ? ELSE next END,
		tell = CASE WHEN tell > 0 THEN tell - ? ELSE 0 END WHERE message = ?`)
	selectFar = db.SQL("SELECT " + recipientColumns + ` FROM queue_recipient
		WHERE state IN (1, 3) AND next >= ? AND (next, id) > (?, ?) ORDER BY next, id LIMIT ?`)
	pullRows   = db.SQL("UPDATE queue_recipient SET next = ? WHERE id IN (@ids) AND state IN (1, 3)")
	pullServed = db.SQL("UPDATE queue_recipient SET next = ? WHERE state = 6 AND next > ? AND attempts > 0")
)

// setRight lets nothing wait for a time that a clock gave which was fast and has been set
// back since, as that of a machine without a battery is once it has asked others. A process
// knows the latest time that it saw itself; to the next one the ids tell it, which never go
// back. Where they tell of nothing, nothing is read.
func (q *Queue) setRight(ctx context.Context, now int64) error {
	if now+fast.Microseconds() > q.latest {
		q.latest = max(q.latest, now)
		return nil
	}
	messages, err := q.shift(ctx)
	if err != nil {
		return fmt.Errorf("messages that were accepted while the clock was fast: %w", err)
	}
	recipients, err := q.pull(ctx)
	if err != nil {
		return fmt.Errorf("recipients that wait since the clock was fast: %w", err)
	}
	if messages+recipients > 0 {
		q.o.Logger.Warn("the clock was set back: what was to wait for a time by the old one waits no longer than was asked for",
			"by", time.Duration(q.latest-now)*time.Microsecond, "messages", messages, "recipients", recipients)
	}
	q.latest = now
	return nil
}

// shift makes messages that were accepted later than now accepted now. Their ids tell where
// to look, and not more: those of messages accepted since grow on from there.
func (q *Queue) shift(ctx context.Context) (n int, err error) {
	after := int64(mail.FirstID(time.Now()))
	for {
		var list []accepted
		err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			list, err = acceptedBehind(tx, after)
			return err
		})
		if err != nil || len(list) == 0 {
			return n, err
		}
		after = list[len(list)-1].id
		now := micros() // the reading may have taken long, and mail came meanwhile
		list = slices.DeleteFunc(list, func(a accepted) bool { return a.at <= now+fast.Microseconds() })
		if len(list) == 0 {
			continue
		}
		err = q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
			for _, a := range list {
				if err := a.shift(tx, now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n, err
		}
		n += len(list)
	}
}

// accepted is a message, when it was accepted, as its row says, and whether it waits for a
// date.
type accepted struct {
	id, at int64
	until  bool
}

// shift makes a message accepted now.
func (a accepted) shift(tx *db.Tx, now int64) error {
	by := a.at - now
	if a.until {
		_, err := tx.Exec(shiftAccepted, by, a.id)
		return err
	}
	if _, err := tx.Exec(shiftMessage, by, by, by, a.id); err != nil {
		return err
	}
	_, err := tx.Exec(shiftRecipients, by, now, by, by, a.id)
	return err
}

func acceptedBehind(tx *db.Tx, after int64) (list []accepted, err error) {
	rows, err := tx.Query(selectNew, after, slice)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var a accepted
		err := r.Scan(&a.id, &a.at, &a.until)
		list = append(list, a)
		return err
	})
	return list, err
}

// pull makes due what waits for longer than its schedule, the rest of a provider, or its
// sender asks for.
func (q *Queue) pull(ctx context.Context) (n int, err error) {
	far := place{next: micros() + longest(q.o.Settings().Retry), id: math.MaxInt64}
	for {
		var list []*Message
		err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			list, err = farBehind(tx, far)
			return err
		})
		if err != nil {
			return n, err
		}
		due := map[int64][]int64{}
		now, rest := micros(), q.longestRest() // the reading may have taken long
		for _, m := range list {
			for _, r := range m.Recipients {
				if r.Next > far.next || r.Next == far.next && r.ID > far.id {
					far = place{r.Next, r.ID}
				}
				if from := max(now, r.NotBefore); r.Next > q.latestDue(m, &r, from, rest) {
					due[from] = append(due[from], int64(r.ID))
					n++
				}
			}
		}
		if len(list) == 0 {
			return n, q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
				now := micros()
				_, err := tx.Exec(pullServed, now, now)
				return err
			})
		}
		err = q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
			for _, from := range slices.Sorted(maps.Keys(due)) {
				if _, err := tx.ExecIn(pullRows, db.In{Before: []any{from}, IDs: due[from]}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return n, err
		}
	}
}

// latestDue is when a recipient is due at last that may go from a time on, while some
// provider may rest until another.
func (q *Queue) latestDue(m *Message, r *Recipient, from, rest int64) int64 {
	if r.State == Queued {
		return max(from, rest) + giveBackMicros + fast.Microseconds()
	}
	return from + longest(q.retry(m, r, r.Site, q.o.Settings().Retry)) + fast.Microseconds()
}

func farBehind(tx *db.Tx, far place) ([]*Message, error) {
	rows, err := tx.Query(selectFar, far.next, far.next, int64(far.id), slice)
	if err != nil {
		return nil, err
	}
	var g group
	if err := db.Each(rows, g.add); err != nil {
		return nil, err
	}
	return g.messages(tx)
}

// longest is the longest wait of a schedule, as it is spread, in microseconds.
func longest(schedule []time.Duration) int64 {
	most := wait(1, schedule)
	for _, d := range schedule {
		most = max(most, d)
	}
	return (most + most/10).Microseconds()
}

// longestRest is until when some provider rests; 0 = none does.
func (q *Queue) longestRest() (last int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.providers {
		until, _ := q.rest(p)
		last = max(last, until)
	}
	return last
}
