package queue

import (
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// lagMicros is how long a worker lets the database catch up before it looks again.
const lagMicros = 50_000

// Another implements Course.
func (l *lease) Another(outcomes []Outcome, left []Recipient) []Recipient {
	l.settle(outcomes, left)
	if !l.worker.another() {
		return nil
	}
	return l.withdraw(outcomes, left)
}

// withdraw returns those who are left, but for those for whom somebody wished something
// else meanwhile: that is granted now, not when the job ends.
func (l *lease) withdraw(outcomes []Outcome, left []Recipient) []Recipient {
	q := l.worker.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.wished) == 0 {
		return left
	}
	kept := make([]Recipient, 0, len(left))
	for _, r := range left {
		if c, wished := q.wished[r.ID]; !wished || c != claimedAs(r) {
			kept = append(kept, r)
			continue
		}
		o := Outcome{Result: NotTried}
		if i := slices.IndexFunc(outcomes, func(o Outcome) bool { return o.Recipient == r.ID }); i >= 0 {
			o = outcomes[i] // a host has put him off, and the next one was to be asked
		}
		if r, open := l.take(r.ID); open {
			l.worker.conclude(&item{lease: l, r: r, outcome: o})
		}
	}
	return kept
}

// settle collects the outcomes of those who are not left: a crash must not repeat what a
// host confirmed long ago.
func (l *lease) settle(outcomes []Outcome, left []Recipient) {
	w := l.worker
	settled := without(outcomes, left)
	if len(settled) == 0 {
		return
	}
	advice := w.consult(settled)
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	kept := w.learn(settled, advice)
	for _, o := range settled {
		if r, open := l.take(o.Recipient); open {
			w.conclude(&item{lease: l, r: r, outcome: o, demands: kept})
			kept = nil
		}
	}
}

// without is outcomes but for those of some recipients.
func without(outcomes []Outcome, left []Recipient) []Outcome {
	places := make(map[mail.ID]int, len(outcomes))
	for i := range outcomes {
		places[outcomes[i].Recipient] = i
	}
	for i := range left {
		delete(places, left[i].ID)
	}
	settled := make([]Outcome, 0, len(places))
	for i, o := range outcomes {
		if at, ok := places[o.Recipient]; ok && at == i {
			settled = append(settled, o)
		}
	}
	return settled
}

// take returns a recipient who has no result yet, and is to have one now. q.mu is held.
func (l *lease) take(id mail.ID) (Recipient, bool) {
	if l.open == nil {
		l.open = make(map[mail.ID]int, len(l.job.Recipients))
		for i := range l.job.Recipients {
			l.open[l.job.Recipients[i].ID] = i
		}
	}
	i, open := l.open[id]
	if !open {
		return Recipient{}, false
	}
	delete(l.open, id)
	return l.job.Recipients[i], true
}

// has tells whether a recipient of the job has no result yet. q.mu is held.
func (l *lease) has(id mail.ID) bool {
	if l.open == nil {
		return true
	}
	_, open := l.open[id]
	return open
}

// another takes one more transaction for the same message from the provider's rate, once
// the database keeps up with what was delivered. It waits for either as long as to give the
// rest back would take.
func (w *worker) another() bool {
	q := w.q
	for lag := int64(0); ; {
		q.mu.Lock()
		lags, ending := q.rests(), q.ending()
		may := !lags && q.spend(w.p)
		until, _ := q.rest(w.p)
		q.mu.Unlock()
		rest := max(until-micros(), 0)
		if lags {
			rest = max(rest, lagMicros)
			lag += lagMicros
		}
		switch {
		case ending, !may && max(rest, lag) > giveBackMicros:
			return false
		case may:
			return true
		}
		select {
		case <-time.After(time.Duration(rest) * time.Microsecond):
		case <-q.context().Done():
		}
	}
}
