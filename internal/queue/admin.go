package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// verb is what somebody does to recipients by hand.
type verb struct {
	to     State // where they go; gone = out of the queue
	by     mover
	holder Holder // of what goes on hold
	from   State  // only from there, 0 = from wherever it is allowed
	heldBy Holder // only what he keeps on hold, 0 = whoever does
	wish   wish   // what it leaves on leased ones, 0 = nothing
	unwish bool   // takes a wish to hold back from leased ones
	retry  bool   // for those that rest before an attempt too, and for the providers that pause
	event  string
	now    int64
	dry    bool // nothing is changed
}

// Retry makes recipients due now that are deferred, or rest before an attempt since
// nothing went to their provider. A pause that the provider asked for ends; a rate holds.
// Those under way or on hold are not among them.
func (q *Queue) Retry(ctx context.Context, f Filter) (Touched, error) {
	return q.administer(ctx, f, verb{to: Queued, from: Deferred, retry: true})
}

// Reshaped makes due what rests before an attempt: limits or rules have changed. What may
// still not go rests again, as long as is right now.
func (q *Queue) Reshaped(ctx context.Context) error {
	_, err := q.administer(ctx, Filter{All: true, State: Queued}, verb{to: Queued, from: Queued})
	signal(q.wake) // for what rests in memory
	return err
}

// Hold keeps recipients from being tried. One that is under way is held with
// the result of its attempt, unless that ends its story. What is held with its account
// stays when that is released.
func (q *Queue) Hold(ctx context.Context, f Filter) (Touched, error) {
	return q.administer(ctx, f, verb{to: Held, holder: HeldByHand, wish: wishHold, event: "held"})
}

// Release makes recipients on hold due now, or when it is their time.
func (q *Queue) Release(ctx context.Context, f Filter) (Touched, error) {
	return q.administer(ctx, f, verb{to: Queued, from: Held, unwish: true, event: "released"})
}

// HoldAccount keeps what an account has sent from being tried, as Hold does, until
// ReleaseAccount. Where somebody wished something of a recipient that is under way, that
// stands.
func (q *Queue) HoldAccount(ctx context.Context, account mail.ID) (Touched, error) {
	return q.administer(ctx, Filter{Account: account}, verb{to: Held, holder: HeldWithAccount, wish: wishHoldAccount, event: "held"})
}

// ReleaseAccount makes due, as Release does, what HoldAccount keeps, and nothing that
// anybody else does.
func (q *Queue) ReleaseAccount(ctx context.Context, account mail.ID) (Touched, error) {
	return q.administer(ctx, Filter{Account: account}, verb{to: Queued, from: Held, heldBy: HeldWithAccount, unwish: true, event: "released"})
}

// Bounce gives recipients up: their sender gets a report. One that is under way
// follows with the result of its attempt.
func (q *Queue) Bounce(ctx context.Context, f Filter) (Touched, error) {
	return q.administer(ctx, f, verb{to: Failed, wish: wishBounce, event: "failed"})
}

// Delete takes recipients out of the queue without a report. One that is under
// way follows with the result of its attempt.
func (q *Queue) Delete(ctx context.Context, f Filter) (Touched, error) {
	return q.administer(ctx, f, verb{to: gone, wish: wishDelete, event: "deleted"})
}

// administer does what somebody asks for. It works on a nearly full disk too: what goes, or
// may go on, gives space back, and what is given up does so once its report has room.
func (q *Queue) administer(ctx context.Context, f Filter, v verb) (Touched, error) {
	v.by, v.now, v.dry = byAdmin, micros(), f.DryRun
	return q.inParts(ctx, f, func(tx *db.Tx, ids []int64) (Touched, error) { return q.move(tx, ids, v) })
}

// errStops ends a verb between two of its parts, so that it tells how far it came, and the
// stop does not wait for it.
var errStops = errors.New("the server stops")

// inParts does a verb some hundred recipients at a time, each part in a transaction of its
// own. With an error it tells what the parts before came to, which stays.
func (q *Queue) inParts(ctx context.Context, f Filter, do func(tx *db.Tx, ids []int64) (Touched, error)) (total Touched, err error) {
	run := q.o.DB.Write
	if f.DryRun {
		run = q.o.DB.Read
	}
	err = q.chosen(ctx, f, func(ids []int64) (int, error) {
		if total.All() > 0 && q.stops() {
			return 0, errStops
		}
		var part Touched
		err := run(db.WithReserve(ctx), func(tx *db.Tx) (err error) {
			part, err = do(tx, ids)
			return err
		})
		if err != nil {
			return 0, err
		}
		total.add(part)
		return part.All(), nil
	})
	return total, err
}

func (q *Queue) stops() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running && q.ending()
}

var (
	setWish         = db.SQL("UPDATE queue_recipient SET wish = ? WHERE id IN (@ids) AND state = 2")
	setAccountWish  = db.SQL("UPDATE queue_recipient SET wish = ? WHERE id IN (@ids) AND state = 2 AND wish = 0")
	dropWish        = db.SQL("UPDATE queue_recipient SET wish = 0 WHERE id IN (@ids) AND state = 2 AND wish IN (1, 4)")
	dropAccountWish = db.SQL("UPDATE queue_recipient SET wish = 0 WHERE id IN (@ids) AND state = 2 AND wish = 4")
)

// move takes rows from one state to another as far as the arrows allow, in one
// write; leased ones get a wish, except those whose process is gone.
func (q *Queue) move(tx *db.Tx, ids []int64, v verb) (t Touched, err error) {
	if err := tx.Lock("queue_recipient", "id", ids); err != nil {
		return t, err
	}
	var g group
	if err := tx.QueryIn(selectRecipients, db.In{IDs: ids}, g.add); err != nil {
		return t, err
	}
	list, err := g.messages(tx)
	if err != nil {
		return t, err
	}
	var c changes
	var reports []Report
	var leased []Recipient
	sites := map[string]bool{}
	for _, m := range list {
		for _, r := range m.Recipients {
			switch {
			case r.State == Leased && v.by == byAdmin:
				leased = append(leased, r)
				t.Untold += untold(m, r)
			case v.reaches(r):
				r = v.apply(r)
				c.add(m, r)
				t.Moved++
				t.Untold += untold(m, r)
				sites[r.Site] = true
				reports = append(reports, Report{Message: m, Recipient: r, Outcome: told(r)})
			}
		}
	}
	if v.dry {
		t.UnderWay, err = v.wishes(tx, leased)
		return t, err
	}
	if err := c.write(tx); err != nil {
		return t, err
	}
	if t.UnderWay, err = q.wish(tx, leased, v); err != nil {
		return t, err
	}
	if v.event != "" && len(reports) > 0 {
		if err := q.o.Observer.Administered(tx, v.event, reports); err != nil {
			return t, fmt.Errorf("events: %w", err)
		}
	}
	if t.Moved > 0 {
		tx.OnCommit(func() { q.moved(v, sites) })
	}
	return t, nil
}

// untold is 1 for a recipient of whose failure no sender wants to hear.
func untold(m *Message, r Recipient) int {
	if m.From.IsNull() || !r.Notify.Wants(mail.NotifyFailure) {
		return 1
	}
	return 0
}

// told is what is known of a recipient that no attempt just ended.
func told(r Recipient) Outcome {
	return Outcome{Recipient: r.ID, Code: r.Code, Enhanced: r.Enhanced, Reply: r.Reply, Ours: r.Ours, Host: r.Host}
}

var countWish = db.SQL("SELECT COUNT(*) FROM queue_recipient WHERE id IN (@ids) AND state = 2 AND wish IN (1, 4)")

// wishes is how many of those under way the verb would reach, as far as can be told
// before it is done.
func (v verb) wishes(tx *db.Tx, leased []Recipient) (total int, err error) {
	switch {
	case len(leased) == 0, v.wish == 0 && !v.unwish:
		return 0, nil
	case v.wish != 0:
		return len(leased), nil
	}
	err = tx.QueryIn(countWish, db.In{IDs: idsOf(leased)}, func(rows db.Rows) error {
		var n int
		err := rows.Scan(&n)
		total += n
		return err
	})
	return total, err
}

func idsOf(list []Recipient) []int64 {
	ids := make([]int64, len(list))
	for i, r := range list {
		ids[i] = int64(r.ID)
	}
	return ids
}

// reaches tells whether the verb is about a recipient that is not under way.
func (v verb) reaches(r Recipient) bool {
	if r.State == Held && v.to == Held {
		return v.holder == HeldByHand && r.Holder == HeldWithAccount
	}
	if r.State == Queued && v.to == Queued { // by no arrow
		return (v.retry || v.from == Queued) && r.Next > v.now && r.NotBefore <= v.now
	}
	if v.from == Deferred && r.NotBefore > v.now {
		return false
	}
	return may(r.State, v.to, v.by) && (v.from == 0 || v.from == r.State) && (v.heldBy == 0 || v.heldBy == r.Holder)
}

func (v verb) apply(r Recipient) Recipient {
	if v.by == byRecover {
		r.Attempts = max(r.Attempts, 1) // as freeRows has it
	}
	switch v.to {
	case Failed:
		return bounced(r)
	case Queued:
		r.Next = max(v.now, r.NotBefore)
	case Held:
		r.Holder = v.holder
	}
	r.State = v.to
	return r
}

// wish leaves on leased rows what their result, or the worker that is about to
// take them, shall grant.
func (q *Queue) wish(tx *db.Tx, leased []Recipient, v verb) (int, error) {
	ids := idsOf(leased)
	switch {
	case len(leased) == 0:
		return 0, nil
	case v.unwish:
		drop := dropWish
		if v.heldBy == HeldWithAccount {
			drop = dropAccountWish
		}
		n, err := tx.ExecIn(drop, db.In{IDs: ids})
		return int(n), err
	case v.wish == 0:
		return 0, nil
	}
	set := setWish
	if v.wish == wishHoldAccount {
		set = setAccountWish
	}
	n, err := tx.ExecIn(set, db.In{Before: []any{int(v.wish)}, IDs: ids})
	if err != nil {
		return 0, err
	}
	tx.OnCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.running {
			return
		}
		for _, r := range leased {
			q.wished[r.ID] = claimedAs(r)
		}
	})
	return int(n), nil
}

// moved wakes those who have work by a verb.
func (q *Queue) moved(v verb, sites map[string]bool) {
	switch v.to {
	case Failed:
		signal(q.failed)
	case Queued:
		q.mu.Lock()
		defer q.mu.Unlock()
		for name := range sites {
			q.askNow(name)
			if v.retry {
				q.unpause(name)
			}
		}
		q.due(v.now)
	}
}
