package queue

import (
	"fmt"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// ChangeKind names what changed.
type ChangeKind string

// What may change with a provider, or with one of its sites.
const (
	Paused  ChangeKind = "paused"  // nothing goes to it
	Resumed ChangeKind = "resumed" // it goes on after that
	Slowed  ChangeKind = "slowed"  // less goes to it
	Eased   ChangeKind = "eased"   // as before that
	Fewer   ChangeKind = "fewer"   // connections at once
	More    ChangeKind = "more"    // connections: as many as before there were fewer
	SiteOff ChangeKind = "down"    // no host of a site can be reached
	SiteOn  ChangeKind = "up"      // a site can be reached again
)

// ChangeKinds are all of them.
func ChangeKinds() []ChangeKind {
	return []ChangeKind{Paused, Resumed, Slowed, Eased, Fewer, More, SiteOff, SiteOn}
}

// Change is news of a provider.
type Change struct {
	Kind     ChangeKind
	Provider string
	Site     string // of SiteOff and SiteOn
	Why      string // in words, some of which may be a remote's
}

// changed tells of a change. q.mu is held.
func (q *Queue) changed(c Change) {
	if q.o.Changed != nil {
		q.o.Changed(c)
	}
}

// narrowed tells that a provider gets fewer connections than before.
func (q *Queue) narrowed(p *provider, before float64, reply string) {
	if p.before == 0 {
		p.before = before
	}
	q.o.Logger.Info("a provider gets fewer connections", "provider", p.name, "connections", int(p.width), "reply", reply)
	q.changed(Change{Kind: Fewer, Provider: p.name, Why: fmt.Sprintf("%d at once: %s", int(p.width), reply)})
}

// widened tells, once, that a provider has as many connections as before it got fewer.
func (q *Queue) widened(p *provider) {
	if p.before == 0 || p.width < p.before {
		return
	}
	p.before = 0
	q.changed(Change{Kind: More, Provider: p.name, Why: fmt.Sprintf("%d at once, as before", int(p.width))})
}

// over tells of the end of what a provider had asked for. q.mu is held.
func (q *Queue) over(p *provider, now int64) {
	if p.paused && !q.holds(&p.pause, now) {
		q.lapsed = append(q.lapsed, keptDemand{p.name, ofPause, p.pause})
		p.paused, p.pause = false, demand{} // the number of a rule may be given again
		q.changed(Change{Kind: Resumed, Provider: p.name})
	}
	slowed := len(p.brakes) > 0
	p.brakes = slices.DeleteFunc(p.brakes, func(d demand) bool {
		if q.holds(&d, now) {
			return false
		}
		q.lapsed = append(q.lapsed, keptDemand{p.name, ofBrake, d})
		return true
	})
	if slowed && len(p.brakes) == 0 {
		q.changed(Change{Kind: Eased, Provider: p.name})
	}
	if p.noted.kept > 0 && q.whole(p, now) <= now {
		q.lapsed = append(q.lapsed, keptDemand{p.name, ofRate, p.noted})
		p.noted = demand{}
	}
}

func until(at int64) string {
	return "until " + mail.FromMicros(at).UTC().Format(time.DateTime) + " UTC"
}
