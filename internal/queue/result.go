package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// maxResults bounds the recipients of one commit of results, which keeps it
// near the 20 ms that db asks for.
const maxResults = 256

// item is one recipient's outcome on its way into the database.
type item struct {
	lease    *lease
	r        Recipient // as it was leased
	outcome  Outcome
	stopping bool
	copied   bool         // a host has the message: another attempt would be a second copy
	demands  []keptDemand // what the reply asked for

	// Set by write, which may run more than once.
	v    verdict
	lost bool // no longer leased by us
}

// collect takes a result. q.mu is held.
func (q *Queue) collect(it *item) {
	// What Also files is there with the record alone.
	if it.copied = it.outcome.Result == Delivered && it.outcome.Also == nil; it.copied {
		q.unrecorded++
	}
	q.results = append(q.results, it)
	signal(q.arrive)
}

// collector records results in groups, those that arrived while the group
// before was being synced, until ended is closed and nothing is left. The
// context is not the one of Run: what was done is recorded.
func (q *Queue) collector(ctx context.Context, ended <-chan struct{}) {
	pause := pauseMin
	over := false
	for {
		batch := q.take()
		if len(batch) == 0 && !q.doubts() {
			if over {
				return
			}
			select {
			case <-q.arrive:
			case <-ended:
				over = true
			}
			continue
		}
		if q.settled(ctx, batch) {
			pause = pauseMin
			continue
		}
		if over {
			q.tellLost()
			return
		}
		rest := time.NewTimer(pause)
		select {
		case <-rest.C:
		case <-ended:
			over = true
		}
		rest.Stop()
		pause = min(2*pause, pauseMax)
	}
}

// maxTold bounds the messages that a line of the log names.
const maxTold = 20

// tellLost logs what is not recorded when the server ends, and which messages arrive twice
// by that.
func (q *Queue) tellLost() {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []string
	for _, it := range q.results {
		if it.copied {
			ids = append(ids, it.lease.job.Message.ID.String())
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	twice := strings.Join(ids[:min(len(ids), maxTold)], " ")
	if more := len(ids) - maxTold; more > 0 {
		twice += fmt.Sprintf(" and %d more", more)
	}
	q.o.Logger.Error("results are lost since the database takes no writes; these recipients are tried again after the next start, and those to whom the message was delivered get it twice",
		"recipients", len(q.results), "delivered", q.unrecorded, "messages_delivered", twice)
}

// settled records a batch, or confirms what is in doubt if it is empty; false = that is to
// be tried again.
func (q *Queue) settled(ctx context.Context, batch []*item) bool {
	if len(batch) == 0 {
		return q.confirm(ctx)
	}
	left := q.record(ctx, batch)
	q.setStuck(left)
	return len(left) == 0
}

func (q *Queue) take() []*item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.results), maxResults)
	batch := slices.Clone(q.results[:n])
	clear(q.results[:n])
	q.results = q.results[n:]
	if n > 0 {
		q.began = time.Now()
	}
	return batch
}

// setStuck keeps what could not be recorded for the next try. Meanwhile nothing
// is handed out.
func (q *Queue) setStuck(left []*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.results = append(left, q.results...)
	q.began = time.Time{}
	q.stuck = len(left) > 0
	q.goOn()
}

// alsoError is the failure of an outcome's own rows.
type alsoError struct{ err error }

func (e *alsoError) Error() string { return "rows of an outcome: " + e.err.Error() }
func (e *alsoError) Unwrap() error { return e.err }

// record commits a batch, or, where that fails, each outcome by itself, so that
// one bad outcome costs its neighbours nothing. It returns those that are still
// to be recorded.
func (q *Queue) record(ctx context.Context, items []*item) (left []*item) {
	started := time.Now()
	err := q.write(ctx, items)
	if err == nil {
		q.o.Metrics.recorded(items, time.Since(started))
		q.recorded(items)
		return nil
	}
	if _, also := errors.AsType[*alsoError](err); also && len(items) == 1 {
		it := items[0]
		q.o.Logger.Warn("an outcome is undone: its own rows failed",
			"message", it.lease.job.Message.ID.String(), "recipient", it.r.ID.String(), "error", err)
		it.outcome = undone(it.outcome)
		return q.record(ctx, items)
	}
	if len(items) == 1 || db.RefusesAll(err) {
		q.o.Logger.Error("results wait: they could not be recorded", "recipients", len(items), "error", err)
		return items
	}
	for i, it := range items {
		more := q.record(ctx, []*item{it})
		left = append(left, more...)
		if len(more) > 0 && i == 0 {
			// The first one alone fails too: it is not about one of them.
			return items
		}
	}
	return left
}

// undone is an outcome whose Also failed: a failure of ours, and so temporary.
func undone(o Outcome) Outcome {
	o.Result, o.Also = TryLater, nil
	o.Ours, o.Code, o.Enhanced, o.Reply = true, 451, "4.3.0", "The result could not be stored here"
	return o
}

var (
	selectLeased = db.Stmt{
		SQL: "SELECT id, wish, attempts, next FROM queue_recipient WHERE id IN (@ids) AND state = 2 AND owner = ?",
		// A wish that comes meanwhile waits for the result.
		Postgres: "SELECT id, wish, attempts, next FROM queue_recipient WHERE id IN (@ids) AND state = 2 AND owner = ? ORDER BY id FOR UPDATE",
	}
	deleteRows     = db.SQL("DELETE FROM queue_recipient WHERE id IN (@ids)")
	deleteMessages = db.SQL(`DELETE FROM queue_message WHERE id IN (@ids) AND NOT EXISTS
		(SELECT 1 FROM queue_recipient WHERE queue_recipient.message = queue_message.id)`)
)

// write records outcomes set by set. Giving rows back must work even when the
// disk is nearly full.
func (q *Queue) write(ctx context.Context, items []*item) error {
	slices.SortFunc(items, func(a, b *item) int { return int(min(max(a.r.ID-b.r.ID, -1), 1)) })
	q.noteLeap()
	set, now := q.o.Settings(), micros()
	return q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		q.hears(tx)
		leased, err := q.leased(tx, items)
		if err != nil {
			return err
		}
		var c changes
		reports := make([]Report, 0, len(items))
		granted := map[wish][]Report{}
		for _, it := range items {
			row, ours := leased[it.r.ID]
			// A result that was recorded without our knowing it has left its mark.
			if it.lost = !ours || row.claimed != claimedAs(it.r); it.lost {
				continue
			}
			m, set := it.lease.job.Message, set
			if it.outcome.Result == TryLater {
				set.Retry = q.retry(m, &it.r, it.lease.site, set.Retry)
			}
			it.v = apply(it.r, it.outcome, circumstances{
				now: now, expires: q.Expires(m, &it.r), wish: row.wish, stopping: it.stopping, by: m.By, reports: !m.From.IsNull(), settings: set,
			})
			it.v.r.endedAt(now)
			if !may(Leased, it.v.r.State, byResult) {
				return fmt.Errorf("a result may not lead from %v to %v", Leased, it.v.r.State)
			}
			if it.outcome.Also != nil {
				if err := it.outcome.Also(tx); err != nil {
					return &alsoError{err}
				}
			}
			c.add(m, it.v.r)
			report := Report{Message: m, Recipient: it.v.r, Outcome: it.outcome, Expired: it.v.expired}
			if it.outcome.Result != NotTried {
				reports = append(reports, report)
			}
			if it.v.granted != 0 {
				// What is told of it is what its row and its bounce will say.
				report.Outcome = told(it.v.r)
				granted[it.v.granted] = append(granted[it.v.granted], report)
			}
		}
		if err := errors.Join(c.write(tx), keepDemands(tx, items)); err != nil {
			return err
		}
		return q.observe(tx, reports, granted)
	})
}

func (q *Queue) observe(tx *db.Tx, reports []Report, granted map[wish][]Report) error {
	if len(reports) > 0 {
		if err := q.o.Observer.Attempted(tx, reports); err != nil {
			return fmt.Errorf("events of attempts: %w", err)
		}
	}
	for w := wishHold; w <= lastWish; w++ {
		if len(granted[w]) > 0 {
			if err := q.o.Observer.Administered(tx, w.event(), granted[w]); err != nil {
				return fmt.Errorf("events of wishes: %w", err)
			}
		}
	}
	return nil
}

// event is what a wish that came true is called.
func (w wish) event() string {
	switch w {
	case wishHold, wishHoldAccount:
		return "held"
	case wishBounce:
		return "failed"
	default:
		return "deleted"
	}
}

// claimed names one lease of a row. Nothing changes attempts and next while it is
// leased, and every result changes one of them.
type claimed struct {
	attempts int
	next     int64
}

func claimedAs(r Recipient) claimed { return claimed{r.Attempts, r.Next} }

// leasedRow is what a result must know of its row.
type leasedRow struct {
	wish wish
	claimed
}

// leased returns which rows this process still leases.
func (q *Queue) leased(tx *db.Tx, items []*item) (map[mail.ID]leasedRow, error) {
	ids := make([]int64, len(items))
	for i, it := range items {
		ids[i] = int64(it.r.ID)
	}
	out := make(map[mail.ID]leasedRow, len(ids))
	err := tx.QueryIn(selectLeased, db.In{IDs: ids, After: []any{int64(q.owner)}}, func(rows db.Rows) error {
		var id mail.ID
		var r leasedRow
		err := rows.Scan(&id, &r.wish, &r.attempts, &r.next)
		out[id] = r
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("check leases: %w", err)
	}
	return out, nil
}

// changes gathers what happens to recipients that have rows: those that are
// gone leave, the others are changed, and messages without any leave as well.
type changes struct {
	rows     [][]any
	leave    []int64
	messages []int64
	last     mail.ID
}

func (c *changes) add(m *Message, r Recipient) {
	if r.State != gone {
		c.rows = append(c.rows, recipientRow(m, &r, 0))
		return
	}
	c.leave = append(c.leave, int64(r.ID))
	if m.ID != c.last {
		c.last = m.ID
		c.messages = append(c.messages, int64(m.ID))
	}
}

func (c *changes) write(tx *db.Tx) error {
	if err := tx.Insert(updateRecipient, c.rows...); err != nil {
		return fmt.Errorf("change recipients: %w", err)
	}
	if _, err := tx.ExecIn(deleteRows, db.In{IDs: c.leave}); err != nil {
		return fmt.Errorf("delete recipients: %w", err)
	}
	if err := dropMessages(tx, c.messages); err != nil {
		return fmt.Errorf("delete messages: %w", err)
	}
	return nil
}

// dropMessages deletes those messages that have no recipients left. Whoever
// takes the last of them away at the same time as we do waits for our commit,
// or we for theirs, so that one of us sees that there is none.
func dropMessages(tx *db.Tx, ids []int64) error {
	if err := tx.Lock("queue_message", "id", ids); err != nil {
		return err
	}
	_, err := tx.ExecIn(deleteMessages, db.In{IDs: ids})
	return err
}

// recorded frees what the recorded results held in memory and wakes those for
// whom they left work.
func (q *Queue) recorded(items []*item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		if it.copied {
			q.unrecorded--
		}
		if it.lost {
			// Promise 2: whoever has the row now decides on it.
			q.o.Logger.Warn("a result is dropped: its recipient is no longer leased by this process",
				"message", it.lease.job.Message.ID.String(), "recipient", it.r.ID.String(), "result", it.outcome.Result.String())
		}
		if q.wished[it.r.ID] == claimedAs(it.r) { // else it is about a later lease
			delete(q.wished, it.r.ID)
		}
		if it.lease.left--; it.lease.left == 0 {
			q.spendMemory(it.lease, -it.lease.octets)
		}
		if s := q.sites[it.lease.site]; it.outcome.Unreached && (s == nil || s.down == nil) {
			q.risen = append(q.risen, risenOf(it.lease.site, &it.outcome)) // it came too late to be raised
			signal(q.wake)
		}
		if q.gathered[it.lease.job.Message.ID] {
			q.gatherSoon()
		}
		switch {
		case it.lost:
		case it.v.r.State == Failed || it.v.r.State == Served:
			signal(q.failed)
		case it.v.r.State == Queued || it.v.r.State == Deferred:
			q.due(it.v.r.Next)
		}
	}
	if q.starved {
		q.starved = false
		signal(q.wake)
	}
	q.began = time.Now() // if there are more, the database does answer
	q.goOn()
}
