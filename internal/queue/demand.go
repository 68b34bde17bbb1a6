package queue

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Advice is what a provider's reply asks for, besides what it means for the message.
type Advice struct {
	For    time.Duration // how long it holds; 0 = there is none
	Pause  bool          // nothing goes to the provider meanwhile
	Limits Limits        // else what holds meanwhile; its zeros change nothing
	Why    string        // in words
	Fewer  bool          // the host bears fewer connections than it has
	Rule   int64         // the operator's, for Options.Stands; 0 = nobody can take it back
}

// demand is advice that is heeded, until a time in microseconds.
type demand struct {
	Advice
	until int64
	kept  int64 // the time under which it is in the database
}

// holds tells whether a demand is neither over nor taken back. A clock that was set back
// makes it no longer than what was asked for. q.mu is held.
func (q *Queue) holds(d *demand, now int64) bool {
	d.until = min(d.until, now+d.For.Microseconds())
	return d.until > now && (d.Rule == 0 || q.o.Stands == nil || q.o.Stands(d.Rule))
}

// consult asks what follows from replies that were no success, once for those that
// are the same.
func (w *worker) consult(outcomes []Outcome) (all []Advice) {
	last := ""
	for i := range outcomes {
		o := &outcomes[i]
		if o.Ours && !o.Quotes || o.Result != TryLater && o.Result != Refused || o.Reply == last || !w.speaks(o) {
			continue
		}
		last = o.Reply
		if o.Pause > 0 {
			all = append(all, Advice{For: o.Pause, Pause: true, Why: o.Reply})
		}
		if w.q.o.Advise == nil {
			continue
		}
		a := w.q.o.Advise(w.p.name, o)
		o.Strained = o.Strained || a.Fewer && o.Result == TryLater
		if a.For > 0 {
			all = append(all, a)
		}
	}
	return all
}

// heed does what a reply asks for, and returns what of it is to be kept: one that changes
// nothing is not. q.mu is held.
func (w *worker) heed(a Advice) (kept []keptDemand) {
	q, p := w.q, w.p
	end := micros() + a.For.Microseconds()
	d := demand{a, end, end}
	if a.Pause {
		if end > p.pause.until || !q.holds(&p.pause, micros()) {
			if p.paused && p.pause.Rule != d.Rule {
				q.lapsed = append(q.lapsed, keptDemand{p.name, ofPause, p.pause})
			}
			p.pause = d
			kept = append(kept, keptDemand{p.name, ofPause, d})
		}
		p.paused = true
		q.changed(Change{Kind: Paused, Provider: p.name, Why: until(p.pause.until) + ": " + a.Why})
		q.admit(p)
	} else {
		d = p.slow(d)
		kept = append(kept, keptDemand{p.name, ofBrake, d})
		q.changed(Change{Kind: Slowed, Provider: p.name, Why: until(d.until) + ": " + a.Why})
	}
	q.o.Logger.Warn("a provider asks for less", "provider", p.name, "pause", a.Pause, "for", a.For, "why", a.Why)
	return kept
}

// slow adds what slows a provider, or makes it longer where the same was asked for before.
// Of each limit the strictest one holds, as long as it does.
func (p *provider) slow(d demand) demand {
	for i := range p.brakes {
		b := &p.brakes[i]
		if b.Rule != d.Rule || b.Limits.Connections != d.Limits.Connections || b.Limits.Rate != d.Limits.Rate || b.Limits.Per != d.Limits.Per {
			continue
		}
		if b.until < d.until {
			*b = d
		}
		return *b
	}
	p.brakes = append(p.brakes, d)
	return d
}

// less tells until when a provider gets less than usual, and why; 0 = it does not. Where
// more than one thing slows it, each is told with its end. q.mu is held.
func (q *Queue) less(p *provider) (last int64, why string) {
	now := micros()
	var whys, ends []string
	for i := range p.brakes {
		if d := &p.brakes[i]; q.holds(d, now) {
			last = max(last, d.until)
			whys, ends = append(whys, d.Why), append(ends, d.Why+" ("+until(d.until)+")")
		}
	}
	if len(whys) > 1 {
		whys = ends
	}
	return last, strings.Join(whys, "; ")
}

// unpause ends what a reply asked for of the provider of a site, now or as soon as it is
// known who that is. q.mu is held.
func (q *Queue) unpause(site string) {
	k, ok := q.known[site]
	if !ok && len(q.retried) < maxKnown {
		q.retried[site] = true
	}
	if p := q.providers[cmp.Or(k.provider, site)]; p != nil {
		q.cutShort(p)
	}
}

// note tells what of a slow rate is to be kept after a message: when the next one may go. Of
// a faster one nothing is written: a restart costs the provider one message too many at most.
// q.mu is held.
func (q *Queue) note(p *provider) []keptDemand {
	l := q.limits(p.name)
	if l.Rate <= 0 || p.filled == 0 {
		return nil
	}
	each, _ := l.pace()
	wait := time.Duration(each * float64(time.Second))
	if wait <= slowPace {
		return nil
	}
	next := p.filled + wait.Microseconds()
	p.noted = demand{Advice{For: wait}, next, next}
	return []keptDemand{{p.name, ofRate, p.noted}}
}

// keptDemand is what a provider asked for, as it outlives the process: a restart must not
// send to one that asked to be left alone until tomorrow.
type keptDemand struct {
	provider string
	of       demandKind
	demand
}

// demandKind is what a demand in the database is of: its column pause.
type demandKind int

const (
	ofBrake demandKind = iota
	ofPause
	ofRate // nothing asked for: when the next message may go under a slow rate
)

var (
	upsertDemand = db.Insert{
		Into: "queue_demand", Columns: []string{"provider", "pause", "until", "lasts", "connections", "rate", "per", "why", "rule"},
		Conflict: `ON CONFLICT (provider, pause, rule, connections, rate, per) DO UPDATE SET until = excluded.until, lasts = excluded.lasts,
			why = excluded.why`,
	}
	selectDemands = db.SQL("SELECT provider, pause, until, lasts, connections, rate, per, why, rule FROM queue_demand ORDER BY provider, pause, until")
	deleteDemand  = db.SQL("DELETE FROM queue_demand WHERE provider = ? AND pause = ? AND rule = ? AND connections = ? AND rate = ? AND per = ? AND until = ?")
)

// keepDemands writes down what replies asked for, in the commit that records them.
func keepDemands(tx *db.Tx, items []*item) error {
	for _, it := range items {
		for _, d := range it.demands {
			err := tx.Insert(upsertDemand, []any{d.provider, int(d.of), d.kept, d.For.Microseconds(),
				d.Limits.Connections, d.Limits.Rate, d.Limits.Per.Microseconds(), d.Why, d.Rule})
			if err != nil {
				return fmt.Errorf("keep what a provider asked for: %w", err)
			}
		}
	}
	return nil
}

// remember takes up what providers asked for of the last process. What is over by now is
// found so, and told, as if it had ended while this one ran.
func (q *Queue) remember(ctx context.Context) error {
	var all []keptDemand
	err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
		all = nil
		rows, err := tx.Query(selectDemands)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var d keptDemand
			var lasts, per int64
			err := r.Scan(&d.provider, &d.of, &d.kept, &lasts, &d.Limits.Connections, &d.Limits.Rate, &per, &d.Why, &d.Rule)
			d.Pause, d.until, d.For, d.Limits.Per = d.of == ofPause, d.kept, time.Duration(lasts)*time.Microsecond, time.Duration(per)*time.Microsecond
			all = append(all, d)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("what providers asked for: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range all {
		p := q.providerOf(d.provider)
		switch d.of {
		case ofRate:
			p.noted, p.filled, p.credit, p.spent = d.demand, d.until-d.For.Microseconds(), 0, true
			continue
		case ofPause:
			if p.paused { // the process died before it forgot the shorter one
				q.lapsed = append(q.lapsed, keptDemand{p.name, ofPause, p.pause})
			}
			p.pause, p.paused = d.demand, true
		default:
			p.brakes = append(p.brakes, d.demand)
		}
		q.o.Logger.Info("a provider asked for less before the restart", "provider", p.name, "pause", d.Pause, "until", mail.FromMicros(d.until), "why", d.Why)
	}
	return nil
}

// forgetDemands deletes what is over, but for what was asked for anew since.
func (q *Queue) forgetDemands(ctx context.Context) error {
	q.mu.Lock()
	lapsed := q.lapsed
	q.mu.Unlock()
	if len(lapsed) == 0 {
		return nil
	}
	err := q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		for _, d := range lapsed {
			if _, err := tx.Exec(deleteDemand, d.provider, int(d.of), d.Rule, d.Limits.Connections, d.Limits.Rate, d.Limits.Per.Microseconds(), d.kept); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("what providers asked for: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lapsed = q.lapsed[len(lapsed):]
	return nil
}
