package queue

import (
	"container/list"
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/stackroom"
)

// lease is a job in memory whose rows are leased by this process.
type lease struct {
	job    Job
	site   string
	flow   int64
	octets int64 // estimated
	left   int   // recipients without a recorded result
	worker *worker
	open   map[mail.ID]int // the places of those in the job without a result; nil = all are
}

// site is one destination that has something to do. It leaves the map when it
// has nothing any more.
type site struct {
	name     string
	ready    line
	rows     int       // recipients in ready
	p        *provider // nil = not known yet
	active   int       // workers
	starting int       // workers that have not asked for a job yet
	good     int       // workers whose last message was taken up by a host
	took     int64     // messages that its hosts took up, whatever they said
	turn     *turn     // in which it waits: for a worker, or for its provider; nil = in none
	lanes    *lanes    // of the turn
	lane     *lane     // of those lanes
	place    *list.Element
	called   *provider // that has kept a place for it; nil = none has
	flows    [3]int64  // by level: the last that was looked at in the database; -1 = begin
	finding  bool      // a worker looks up its provider
	more     bool      // the database holds due rows beyond those in ready
	down     *down     // nil = not known to be
	lastDown *down     // as it was when it ended
	tried    int64     // the flow of the last job that a worker got
}

const (
	// maxJob bounds the recipients of one job.
	maxJob = 1000
	// siteRows bounds the recipients that one site has waiting in memory by
	// way of the database; siteRowsTight is the bound once half of the memory
	// is spent, so that no site keeps the others out.
	siteRows      = 500
	siteRowsTight = 50
	// jobsInTurn is how many jobs a worker may do before it makes room for a
	// site that has to wait for a worker or for the same provider.
	jobsInTurn = 10
)

// Estimates of what a job costs in memory.
const (
	messageOctets   = 700
	recipientOctets = 400
)

func estimate(m *Message, recipients []Recipient) int64 {
	n := int64(messageOctets + len(m.Prefix))
	for i := range recipients {
		n += int64(recipientOctets + len(recipients[i].ORCPT) + len(recipients[i].Reply))
	}
	return n
}

// byName is an order of sites, for where any would do but it must be the same
// every time: a map has none.
func byName(a, b *site) int { return strings.Compare(a.name, b.name) }

// siteOf returns a site's entry. q.mu is held.
func (q *Queue) siteOf(name string) *site {
	s := q.sites[name]
	if s == nil {
		s = &site{name: name, flows: [3]int64{-1, -1, -1}}
		q.sites[name] = s
	}
	return s
}

// push adds leased recipients of one message to their site and starts workers.
// q.mu is held.
func (q *Queue) push(m *Message, siteName string, recipients []Recipient) {
	s, flow := q.siteOf(siteName), m.flow()
	for len(recipients) > 0 {
		if l := s.ready.last(m, flow); l != nil && l.job.Message.ID == m.ID && len(l.job.Recipients) < maxJob {
			add := recipients[:min(len(recipients), maxJob-len(l.job.Recipients))]
			l.job.Recipients = append(l.job.Recipients, add...)
			l.left += len(add)
			q.grow(s, l, add)
			recipients = recipients[len(add):]
			continue
		}
		l := &lease{job: Job{Message: m}, site: siteName, flow: flow, octets: messageOctets + int64(len(m.Prefix))}
		q.spendMemory(l, l.octets)
		s.ready.add(l)
	}
	q.await(s)
	if s.turn != nil {
		s.turn.move(s, flow, m.Priority.Level() > 0, q.may)
	}
	q.dispatch()
}

// spendMemory counts what a lease takes, or gives back. q.mu is held.
func (q *Queue) spendMemory(l *lease, octets int64) {
	q.octets += octets
	if q.flows[l.flow] += octets; q.flows[l.flow] <= 0 {
		delete(q.flows, l.flow)
	}
}

func (q *Queue) grow(s *site, l *lease, recipients []Recipient) {
	cost := estimate(&Message{}, recipients) - messageOctets
	l.octets += cost
	q.spendMemory(l, cost)
	s.hold(len(recipients))
}

// await puts a site in line for a worker if it could use one: behind those that wait
// for its provider, where some do. q.mu is held.
func (q *Queue) await(s *site) {
	switch {
	case s.turn != nil || s.ready.n <= s.starting:
	case s.p != nil && s.p.waiting.len() > 0:
		s.p.waiting.add(s, q.may)
		q.admit(s.p)
	default:
		q.turn.add(s, q.may)
	}
}

// dispatch starts workers as the limits allow, site by site in turn. q.mu is
// held.
func (q *Queue) dispatch() {
	if !q.running || q.ending() || q.turn.len() == 0 || q.rests() {
		return
	}
	set := q.o.Settings()
	for q.active < max(set.Concurrency, 1) {
		s, flow := q.turn.pop(q.may)
		if s == nil {
			return
		}
		p := s.called
		if p != nil {
			p.called--
			s.called = nil
		}
		q.employ(s, flow)
		if p != nil {
			q.admit(p) // a place that this one did not take is for the next
		}
		q.forget(s)
	}
}

// employ gives a site a worker for a flow if it may have one. If not, it is in line again
// when that changes. q.mu is held.
func (q *Queue) employ(s *site, flow int64) {
	if s.ready.n <= s.starting || q.barred(s) {
		return
	}
	p := q.recallProvider(s)
	if p == nil && s.finding || p != nil && !q.admits(p, s) {
		return
	}
	w := &worker{q: q, s: s, flow: flow, open: map[*Job]*lease{}}
	q.engage(flow, 1)
	s.active++
	s.starting++
	q.active++
	q.workers.Add(1)
	if p == nil {
		s.finding = true
	} else {
		w.enter(p)
		q.await(s)
	}
	go w.work()
}

// ending tells whether the server stops: workers may see that before finish
// does. q.mu is held.
func (q *Queue) ending() bool { return q.stopping || q.stop != nil && q.stop.Err() != nil }

// worker is one call of the deliverer.
type worker struct {
	q      *Queue
	s      *site
	p      *provider       // nil = not known yet
	flow   int64           // that it was started for, or whose message it got last
	open   map[*Job]*lease // taken and not reported
	served int
	begun  bool
	good   bool  // its last message was taken up by a host
	seen   int64 // what the site had taken up when the worker got its last job
	lost   bool  // none could be reached for it
}

func (w *worker) work() {
	stackroom.Reserve()
	q, s := w.q, w.s
	defer q.workers.Done()
	if w.p == nil && !w.find(q.context()) {
		return
	}
	defer w.end()
	defer func() {
		if p := recover(); p != nil {
			q.o.Logger.Error("panic in a delivery", "site", s.name, "panic", p, "stack", string(debug.Stack()))
			w.fail()
		}
	}()
	q.o.Deliverer.Deliver(q.context(), s.name, w.next, w.done)
}

// context is the one that ends when the server stops.
func (q *Queue) context() context.Context {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stop
}

// next gives the worker its next job, nil when it shall end.
func (w *worker) next() *Job {
	q, s := w.q, w.s
	q.mu.Lock()
	defer q.mu.Unlock()
	w.begin()
	for w.ready() {
		if w.lost && s.down != nil {
			return nil // the others are not tried one by one
		}
		if w.surplus() || !q.spend(w.p) {
			return nil
		}
		if w.served >= jobsInTurn && w.wanted() {
			return nil
		}
		if s.down != nil {
			s.ready.past(s.tried)
		}
		l := s.ready.popOf(w.may)
		if l == nil {
			return nil
		}
		s.tried = l.flow
		s.hold(-len(l.job.Recipients))
		w.serves(l.flow)
		if s.more && s.rows < siteRows/4 {
			signal(q.wake)
		}
		w.served++
		l.job.More = s.ready.n > 0 || s.more
		w.seen = s.took
		if q.outlive(l); len(l.job.Recipients) > 0 {
			q.withdraw(l)
		}
		if len(l.job.Recipients) > 0 {
			l.worker, l.job.Course = w, l
			w.open[&l.job] = l
			return &l.job
		}
	}
	return nil
}

func (w *worker) begin() {
	if !w.begun {
		w.begun = true
		w.s.starting--
	}
}

// outlive ends a job that came too late for its sender, without an attempt
// (RFC 2852 §4.1.3). q.mu is held.
func (q *Queue) outlive(l *lease) {
	now := micros()
	if !l.job.Message.By.Over(now) {
		return
	}
	reply := "The time within which it was to be delivered is over"
	if s := q.sites[l.site]; s != nil && s.p != nil {
		if until, why := q.rest(s.p); until > 0 {
			reply += fmt.Sprintf("; nothing could go to %s meanwhile: %s", s.p.name, why)
		}
	}
	for _, r := range l.job.Recipients {
		q.collect(&item{lease: l, r: r, outcome: Outcome{
			Recipient: r.ID, Result: TryLater, Ours: true, Code: 451, Enhanced: mail.DeliveryExpired.Enhanced(mail.Transient),
			Reply: reply, Started: now, Ended: now,
		}})
	}
	l.job.Recipients = nil
}

// withdraw takes those out of a job for whom somebody wished something else
// before their attempt began. q.mu is held.
func (q *Queue) withdraw(l *lease) {
	if len(q.wished) == 0 {
		return
	}
	kept := make([]Recipient, 0, len(l.job.Recipients))
	for _, r := range l.job.Recipients {
		if c, wished := q.wished[r.ID]; !wished || c != claimedAs(r) {
			kept = append(kept, r)
			continue
		}
		q.collect(&item{lease: l, r: r, outcome: Outcome{Recipient: r.ID, Result: NotTried}})
	}
	l.job.Recipients = kept
}

// done takes the outcomes of a job. Recipients without one were not tried.
func (w *worker) done(job *Job, outcomes []Outcome) {
	w.report(job, outcomes, Outcome{Result: NotTried})
}

// fail reports jobs that were lost to a fault of ours: it delays mail and never
// bounces it.
func (w *worker) fail() {
	now := micros()
	for job := range w.open {
		w.report(job, nil, Outcome{
			Result: TryLater, Ours: true, Code: 451, Enhanced: "4.3.0",
			Reply: "Internal error during the attempt", Started: now, Ended: now,
		})
	}
}

func (w *worker) report(job *Job, outcomes []Outcome, otherwise Outcome) {
	q := w.q
	advice := w.consult(outcomes)
	q.mu.Lock()
	defer q.mu.Unlock()
	l := w.open[job]
	if l == nil {
		q.o.Logger.Error("a result for a job that is not under way", "site", w.s.name)
		return
	}
	delete(w.open, job)
	kept := w.learn(outcomes, advice)
	by := make(map[int64]*Outcome, len(outcomes))
	for i := range outcomes {
		by[int64(outcomes[i].Recipient)] = &outcomes[i]
	}
	for _, r := range job.Recipients {
		if !l.has(r.ID) {
			continue
		}
		it := &item{lease: l, r: r, outcome: otherwise, demands: kept}
		kept = nil
		if o := by[int64(r.ID)]; o != nil {
			it.outcome = *o
		}
		w.conclude(it)
	}
}

// learn takes from outcomes what they say of the site and its provider, and returns what
// of that is to be kept. q.mu is held.
func (w *worker) learn(outcomes []Outcome, advice []Advice) []keptDemand {
	kept := w.q.note(w.p)
	if w.q.ending() {
		return kept
	}
	w.judge(outcomes)
	w.adapt(outcomes)
	for _, a := range advice {
		kept = append(kept, w.heed(a)...)
	}
	return kept
}

// conclude collects what became of one recipient. q.mu is held.
func (w *worker) conclude(it *item) {
	it.stopping = w.q.ending()
	if it.outcome.Unreached && w.crowded() {
		// The message waits for one of the connections that the host has.
		it.outcome.Result = NotTried
	}
	it.outcome.Recipient = it.r.ID
	// What we find of ourselves while stopping is no finding: the attempt
	// was cut short by us.
	if it.stopping && it.outcome.Result == TryLater && it.outcome.Ours && it.outcome.Host == "" {
		it.outcome.Result = NotTried
	}
	w.q.collect(it)
}

// end frees the worker's place and gives back what it left open.
func (w *worker) end() {
	for job := range w.open {
		w.report(job, nil, Outcome{Result: NotTried})
	}
	q, s := w.q, w.s
	q.mu.Lock()
	defer q.mu.Unlock()
	// A deliverer that asks for nothing must not be called again and again.
	if !w.begun && s.ready.n > 0 && !q.ending() {
		if s.down != nil {
			s.ready.past(s.tried)
		}
		l := s.ready.pop()
		s.tried = l.flow
		s.hold(-len(l.job.Recipients))
		q.giveBack(l)
	}
	w.begin()
	w.works(false)
	s.active--
	q.active--
	q.engage(w.flow, -1)
	w.leave() // first those who wait for its place, then its own site
	q.await(s)
	q.dispatch()
	if s.more && s.rows < siteRows/4 {
		signal(q.wake)
	}
	q.forget(s)
}

// giveBack returns a lease that nobody tried. q.mu is held.
func (q *Queue) giveBack(l *lease) {
	for _, r := range l.job.Recipients {
		q.collect(&item{lease: l, r: r, stopping: q.ending(), outcome: Outcome{Recipient: r.ID, Result: NotTried}})
	}
}

// forget drops a site that has nothing to do. q.mu is held.
func (q *Queue) forget(s *site) {
	if s.ready.n == 0 && s.active == 0 && !s.more && s.turn == nil && s.down == nil && q.sites[s.name] == s {
		delete(q.sites, s.name)
	}
}
