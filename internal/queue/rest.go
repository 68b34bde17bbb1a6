package queue

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// postpone gives back what is ready for a site whose provider rests for long, but for what
// came too late for its sender, or waits no longer. q.mu is held.
func (q *Queue) postpone(s *site, rest time.Duration) {
	for l := s.ready.pop(); l != nil; l = s.ready.pop() {
		q.outlive(l)
		q.withdraw(l)
		for _, r := range l.job.Recipients {
			o := Outcome{Result: NotTried, Again: rest}
			if q.tired(s.p, l.job.Message, &r) {
				o = q.unsent(s.p)
			}
			o.Recipient = r.ID
			q.collect(&item{lease: l, r: r, stopping: q.ending(), outcome: o})
		}
	}
	s.hold(-s.rows)
	if s.more {
		signal(q.wake)
	}
	q.forget(s)
}

// cutShort ends the pause of a provider before its time: what was to rest until then is due.
// q.mu is held.
func (q *Queue) cutShort(p *provider) {
	if p.paused {
		q.freed[p.name], q.roused = true, 0
	}
	p.pause.until = 0
	signal(q.wake)
}

var selectResting = db.SQL("SELECT id, site, CASE WHEN state = 1 AND next > ? THEN 1 ELSE 0 END FROM queue_recipient WHERE id > ? ORDER BY id LIMIT ?")

// rouse makes due what rests before an attempt since a provider paused that does so no
// longer, and what rests for a provider that is not known, slice by slice: mail goes on
// meanwhile. What may still not go rests again.
func (q *Queue) rouse(ctx context.Context) error {
	q.mu.Lock()
	after, idle := q.roused, len(q.freed) == 0
	q.mu.Unlock()
	if idle {
		return nil
	}
	var all []restingRow
	v := verb{to: Queued, from: Queued, by: byAdmin, now: micros()}
	err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
		all = all[:0]
		rows, err := tx.Query(selectResting, v.now, after, slice)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var row restingRow
			err := r.Scan(&row.id, &row.site, &row.rests)
			all = append(all, row)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("what a pause kept: %w", err)
	}
	if ids := q.resting(all); len(ids) > 0 {
		err := q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
			_, err := q.move(tx, ids, v)
			return err
		})
		if err != nil {
			return fmt.Errorf("what a pause kept: %w", err)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.roused != after: // another pause has ended
	case len(all) < slice:
		clear(q.freed)
		q.roused = 0
		return nil
	default:
		q.roused = all[len(all)-1].id
	}
	signal(q.wake)
	return nil
}

// restingRow is what is to be known of a row that may rest.
type restingRow struct {
	id    int64
	site  string
	rests bool
}

// resting chooses the rows that may go on by the end of a pause.
func (q *Queue) resting(all []restingRow) (ids []int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, row := range all {
		if k, ok := q.known[row.site]; row.rests && (!ok || q.freed[k.provider]) {
			ids = append(ids, row.id)
		}
	}
	return ids
}

// tired tells whether a recipient waits no longer for a provider that rests: its lifetime
// is over. Under a rate all have their turn, so what a stopped server, or who held it,
// kept beyond its end is tried once more; only what waited until then is given up.
// q.mu is held.
func (q *Queue) tired(p *provider, m *Message, r *Recipient) bool {
	now, expires := micros(), q.Expires(m, r)
	return now >= expires && (q.holds(&p.pause, now) || r.Next == expires)
}

// unsent is the finding for what a provider that rests does not get. q.mu is held.
func (q *Queue) unsent(p *provider) Outcome {
	at, why := q.rest(p)
	now := micros()
	return Outcome{
		Result: TryLater, Ours: true, Code: 451, Enhanced: mail.DeliveryExpired.Enhanced(mail.Transient),
		Reply: fmt.Sprintf("Nothing could go to %s %s: %s", p.name, until(at), why), Started: now, Ended: now,
	}
}

// each is how many seconds a message takes under a rate.
func (l *Limits) each() float64 { return cmp.Or(l.Per, time.Minute).Seconds() / float64(l.Rate) }

// pace is how many seconds a message takes under a rate, and how many may go at once.
func (l *Limits) pace() (each, most float64) {
	each = l.each()
	return each, max(burst.Seconds()/each, 1)
}

// rest tells until when nothing goes to a provider, and why; 0 = it does not rest. It is
// reckoned each time, by the limits and rules of now. q.mu is held.
func (q *Queue) rest(p *provider) (until int64, why string) {
	now := micros()
	if q.holds(&p.pause, now) {
		until, why = p.pause.until, p.pause.Why
	}
	if !p.spent {
		return until, why
	}
	if at := min(q.whole(p, now), q.slowUntil(p, now)); at > max(now, until) {
		l := q.limits(p.name)
		return at, fmt.Sprintf("its rate of %d in %v is used up", l.Rate, l.Per)
	}
	return until, why
}

// slowUntil tells when the first of the rates that were asked for of a provider ends: what
// then goes is reckoned then. q.mu is held.
func (q *Queue) slowUntil(p *provider, now int64) int64 {
	end := int64(math.MaxInt64)
	for i := range p.brakes {
		if b := &p.brakes[i]; b.Limits.Rate > 0 && q.holds(b, now) {
			end = min(end, b.until)
		}
	}
	return end
}

// whole tells from when on a provider has all of its credit; 0 = it has no rate.
// q.mu is held.
func (q *Queue) whole(p *provider, now int64) int64 {
	l := q.limits(p.name)
	if l.Rate <= 0 || p.filled == 0 {
		return 0
	}
	each, most := l.pace()
	p.filled = min(p.filled, now) // a clock that was set back takes nothing from the credit
	return p.filled + int64(math.Ceil((most-p.credit)*each*1e6))
}

// spend takes one message from a provider's rate; false if it has to rest first.
// q.mu is held.
func (q *Queue) spend(p *provider) bool {
	if until, _ := q.rest(p); until > 0 {
		return false
	}
	l := q.limits(p.name)
	if l.Rate <= 0 {
		p.filled, p.spent = 0, false
		return true
	}
	now := micros()
	each, most := l.pace()
	if p.filled == 0 {
		p.credit = most
	} else {
		p.credit = min(p.credit+float64(max(now-p.filled, 0))/1e6/each, most)
	}
	p.filled = now
	if p.spent = p.credit < 1; p.spent {
		signal(q.wake)
		return false
	}
	p.credit--
	return true
}

// keptFor is how long what a provider bears is remembered while it has nothing to do. Of
// many, which take memory and a look now and then, only those are kept that bear less than
// they did.
func (p *provider) keptFor(many bool) time.Duration {
	if many && p.before == 0 {
		return longRest
	}
	return knownFor
}

// resume lets go on what rested, and returns how long nothing else will.
func (q *Queue) resume(now int64) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := longestSleep
	many := len(q.providers) > manyProviders
	for _, name := range slices.Sorted(maps.Keys(q.providers)) {
		p := q.providers[name]
		q.over(p, now)
		for _, b := range p.brakes {
			wait = min(wait, time.Duration(b.until-now)*time.Microsecond)
		}
		until, _ := q.rest(p)
		switch {
		case until > 0:
			wait = min(wait, time.Duration(until-now)*time.Microsecond)
		case p.waiting.len() > 0:
			q.admit(p)
		case p.active+p.called == 0 && len(p.brakes) == 0 && now-p.used > p.keptFor(many).Microseconds() && q.whole(p, now) <= now:
			delete(q.providers, name)
		}
	}
	q.dispatch()
	return wait
}
