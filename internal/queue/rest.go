package queue

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Advice is what a provider's reply asks for, besides what it means for the message.
type Advice struct {
	For    time.Duration // how long it holds; 0 = there is none
	Pause  bool          // nothing goes to the provider meanwhile
	Limits Limits        // else what holds meanwhile; its zeros change nothing
	Why    string        // in words
	Fewer  bool          // the host bears fewer connections than it has
	// Stands tells whether the rule behind it is still there; nil = nobody can take it
	// back. It is called with the queue's lock held.
	Stands func() bool
}

// demand is advice that is heeded, until a time in microseconds.
type demand struct {
	Advice
	until int64
}

// holds tells whether it is neither over nor taken back. A clock that was set back makes
// it no longer than what was asked for.
func (d *demand) holds(now int64) bool {
	d.until = min(d.until, now+d.For.Microseconds())
	return d.until > now && (d.Stands == nil || d.Stands())
}

// postpone gives back what is ready for a site whose provider rests for long, but for what
// came too late for its sender. q.mu is held.
func (q *Queue) postpone(s *site, rest time.Duration) {
	for l := s.ready.pop(); l != nil; l = s.ready.pop() {
		q.outlive(l)
		for _, r := range l.job.Recipients {
			q.collect(&item{lease: l, r: r, stopping: q.ending(), outcome: Outcome{Recipient: r.ID, Result: NotTried, Again: rest}})
		}
	}
	s.hold(-s.rows)
	if s.more {
		signal(q.wake)
	}
	q.forget(s)
}

// pace is how many seconds a message takes under a rate, and how many may go at once.
func (l *Limits) pace() (each, most float64) {
	each = l.Per.Seconds() / float64(l.Rate)
	return each, max(burst.Seconds()/each, 1)
}

// rest tells until when nothing goes to a provider, and why; 0 = it does not rest. It is
// reckoned each time, by the limits and rules of now. q.mu is held.
func (q *Queue) rest(p *provider) (until int64, why string) {
	now := micros()
	if p.pause.holds(now) {
		until, why = p.pause.until, p.pause.Why
	}
	if !p.spent {
		return until, why
	}
	l := q.limits(p.name)
	if l.Rate <= 0 {
		return until, why
	}
	each, most := l.pace()
	p.filled = min(p.filled, now) // a clock that was set back takes nothing from the credit
	if whole := p.filled + int64(math.Ceil((most-p.credit)*each*1e6)); whole > max(now, until) {
		return whole, fmt.Sprintf("its rate of %d in %v is used up", l.Rate, l.Per)
	}
	return until, why
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

// consult asks what follows from replies that were no success, once for those that
// are the same.
func (w *worker) consult(outcomes []Outcome) (all []Advice) {
	if w.q.o.Advise == nil {
		return nil
	}
	last := ""
	for i := range outcomes {
		o := &outcomes[i]
		if o.Ours || o.Result != TryLater && o.Result != Refused || o.Reply == last {
			continue
		}
		last = o.Reply
		a := w.q.o.Advise(w.p.name, o)
		o.Strained = o.Strained || a.Fewer && o.Result == TryLater
		if a.For > 0 {
			all = append(all, a)
		}
	}
	return all
}

// heed does what a reply asks for. q.mu is held.
func (w *worker) heed(a Advice) {
	q, p := w.q, w.p
	end := micros() + a.For.Microseconds()
	if a.Pause {
		if end > p.pause.until || !p.pause.holds(micros()) {
			p.pause = demand{a, end}
		}
		p.paused = true
		q.changed(Change{Kind: Paused, Provider: p.name, Why: until(p.pause.until) + ": " + a.Why})
		q.admit(p)
	} else {
		p.brake = demand{a, end}
		p.slowed = true
		q.changed(Change{Kind: Slowed, Provider: p.name, Why: until(end) + ": " + a.Why})
	}
	q.o.Logger.Warn("a provider asks for less", "provider", p.name, "pause", a.Pause, "for", a.For, "why", a.Why)
}

// unpause ends what a reply asked for of the provider of a site. q.mu is held.
func (q *Queue) unpause(site string) {
	if p := q.providers[cmp.Or(q.known[site].provider, site)]; p != nil {
		p.pause = demand{}
	}
}

// resume lets go on what rested, and returns how long nothing else will.
func (q *Queue) resume(now int64) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := longestSleep
	for _, name := range slices.Sorted(maps.Keys(q.providers)) {
		p := q.providers[name]
		q.over(p, now)
		until, _ := q.rest(p)
		switch {
		case until > 0:
			wait = min(wait, time.Duration(until-now)*time.Microsecond)
		case len(p.waiting) > 0:
			q.admit(p)
		case p.active == 0 && !p.brake.holds(now) && now-p.used > knownFor.Microseconds():
			delete(q.providers, name)
		}
	}
	q.dispatch()
	return wait
}
