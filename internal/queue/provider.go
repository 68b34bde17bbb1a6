package queue

import (
	"cmp"
	"context"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// Limits are what a provider is asked to bear.
type Limits struct {
	Connections int             // at once; 0 = Settings.PerSite
	First       int             // connections to begin with, while nothing is known; 0 = 5
	Rate        int             // messages in any Per; 0 = no limit
	Per         time.Duration   // 0 = a minute
	Retry       []time.Duration // waits between attempts; nil = Settings.Retry
}

// provider is who takes the mail of one or many sites: they share what it bears.
type provider struct {
	name    string
	active  int      // workers
	good    int      // of them, those whose last message was taken up by a host
	rows    int      // recipients that are ready for its sites
	waiting turn     // sites that could use a worker
	called  int      // sites that wait for a worker now, with a place kept for each
	width   float64  // workers that it bears at once, as far as is known
	narrow  int64    // microseconds: when the width shrank last; what began before tells nothing new
	credit  float64  // messages that may go at once under its rate
	filled  int64    // microseconds: when credit was counted
	spent   bool     // credit is used up: nothing goes before it is whole again
	noted   demand   // its rate is so slow that it is kept when the next message may go
	pause   demand   // nothing goes to it
	brakes  []demand // less goes to it: the strictest of each
	before  float64  // the width before it shrank; 0 = it has not, or is as wide again
	paused  bool     // of its pause was told, and not of the end
	used    int64    // microseconds: when a worker last began or ended
}

const (
	// widthFirst is how many connections a provider gets that nothing is known
	// of: enough to be quick, and few enough for the smallest host.
	widthFirst = 5
	// knownFor is how long is remembered who takes the mail of a site, and what a
	// provider bears that has nothing to do.
	knownFor = 10 * time.Minute
	// maxKnown bounds the sites that are remembered.
	maxKnown = 100_000
	// manyProviders are more than have something to do at once, but where mail goes to
	// very many domains once in a while.
	manyProviders = 10_000
	// providerRows bounds the recipients that wait in memory for one provider by way
	// of the database, whatever the number of its sites.
	providerRows = 4 * siteRows
	// longRest is how long a provider may rest while messages wait in memory.
	longRest = 10 * time.Second
	// burst is the part of a rate that may go at once.
	burst = time.Second
	// slowPace is the wait between two messages beyond which a rate outlives a restart.
	slowPace = 10 * time.Second
)

// known is who takes the mail of a site, as it was found at a time.
type known struct {
	provider string
	at       int64 // microseconds
}

// Traffic is how a provider stands, as people are told of it.
type Traffic struct {
	Provider string
	Limits   Limits
	Active   int       // attempts at once now
	Width    int       // as many as it is thought to bear
	Rest     time.Time // nothing goes before; zero = it does not rest
	Less     time.Time // it gets less than usual until then; zero = it does not
	Why      string    // what it rests, or gets less, for
}

// Traffic tells how the provider of a site stands; of one that had nothing to do
// lately only its limits are known.
func (q *Queue) Traffic(name string) Traffic {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.traffic(name)
}

// Bears is how many connections a provider may have at once now.
func (q *Queue) Bears(name string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p := q.providers[name]; p != nil {
		return q.width(p)
	}
	l := q.limits(name)
	return l.first()
}

// first is how many connections a provider gets of which nothing is known.
func (l *Limits) first() int { return min(cmp.Or(l.First, widthFirst), l.Connections) }

// Standing tells how the provider of a site stands, if it is known who that is.
func (q *Queue) Standing(site string) (t Traffic, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k, ok := q.known[site]
	if !ok {
		return t, false
	}
	return q.traffic(k.provider), true
}

// Providers tells of those that had mail lately, in no order.
func (q *Queue) Providers() []Traffic {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]Traffic, 0, len(q.providers))
	for name := range q.providers {
		out = append(out, q.traffic(name))
	}
	return out
}

func (q *Queue) traffic(name string) Traffic {
	out := Traffic{Provider: name, Limits: q.limits(name)}
	p := q.providers[name]
	if p == nil {
		out.Width = out.Limits.first()
		return out
	}
	out.Active, out.Width = p.active, q.width(p)
	if until, why := q.less(p); until > 0 {
		out.Less, out.Why = mail.FromMicros(until), why
	}
	if until, why := q.rest(p); until > 0 {
		out.Rest, out.Why = mail.FromMicros(until), why
	}
	return out
}

func (q *Queue) limits(name string) Limits {
	var l Limits
	if q.o.Limits != nil {
		l = q.o.Limits(name)
	}
	if l.Connections <= 0 {
		l.Connections = max(q.o.Settings().PerSite, 1)
	}
	if p := q.providers[name]; p != nil {
		now := micros()
		for i := range p.brakes {
			if b := &p.brakes[i]; q.holds(b, now) {
				l.slow(&b.Limits)
			}
		}
	}
	if l.Per <= 0 {
		l.Per = time.Minute
	}
	return l
}

// slow makes limits as strict as others, where those are stricter.
func (l *Limits) slow(less *Limits) {
	l.Connections = min(l.Connections, cmp.Or(less.Connections, l.Connections))
	if less.Rate > 0 && (l.Rate <= 0 || less.each() > l.each()) {
		l.Rate, l.Per = less.Rate, less.Per
	}
}

// provided returns the waits between attempts that a site's provider asks for, nil if
// it asks for none.
func (q *Queue) provided(site string) []time.Duration {
	if q.o.Limits == nil {
		return nil
	}
	q.mu.Lock()
	k, ok := q.known[site]
	q.mu.Unlock()
	if !ok {
		return nil
	}
	return q.o.Limits(k.provider).Retry
}

// width is how many workers a provider may have now. q.mu is held.
func (q *Queue) width(p *provider) int {
	return min(max(int(p.width), 1), q.limits(p.name).Connections)
}

// providerOf returns a provider's entry. q.mu is held.
func (q *Queue) providerOf(name string) *provider {
	p := q.providers[name]
	if p == nil {
		p = &provider{name: name, width: float64(cmp.Or(q.limits(name).First, widthFirst)), used: micros()}
		q.providers[name] = p
	}
	return p
}

// recallProvider returns the provider of a site if it is known; sites have one each as
// long as nobody tells. q.mu is held.
func (q *Queue) recallProvider(s *site) *provider {
	if s.name == SiteLocal || q.o.Provider == nil {
		return q.providerOf(s.name)
	}
	k, ok := q.known[s.name]
	if now := micros(); !ok || now-k.at > knownFor.Microseconds() || now < k.at { // by a clock that was set back
		return nil
	}
	return q.providerOf(k.provider)
}

// find learns who takes the mail of a worker's site; false if there is no room for
// the worker after that.
func (w *worker) find(ctx context.Context) bool {
	q, s := w.q, w.s
	name := q.provider(ctx, s.name)
	q.mu.Lock()
	defer q.mu.Unlock()
	s.finding = false
	if len(q.known) >= maxKnown {
		clear(q.known)
	}
	if name != "" {
		q.known[s.name] = known{name, micros()}
	}
	p := q.providerOf(cmp.Or(name, s.name))
	if q.retried[s.name] {
		delete(q.retried, s.name)
		q.cutShort(p)
	}
	if !q.admits(p, s) {
		s.starting--
		s.active--
		q.active--
		q.engage(w.flow, -1)
		w.begun = true
		q.dispatch()
		q.forget(s)
		return false
	}
	w.enter(p)
	q.await(s) // there may be work for more
	q.dispatch()
	return true
}

// provider asks who takes the mail of a site; "" = it cannot be told now.
func (q *Queue) provider(ctx context.Context, site string) (name string) {
	defer func() {
		if p := recover(); p != nil {
			q.o.Logger.Error("panic in the search for a provider", "site", site, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return q.o.Provider(ctx, site)
}

// enter takes one of the places at a provider. q.mu is held.
func (w *worker) enter(p *provider) {
	w.p = p
	w.s.at(p)
	p.active++
	p.used = micros()
}

// at notes who takes the mail of a site.
func (s *site) at(p *provider) {
	if s.p == p {
		return
	}
	if s.p != nil {
		s.p.rows -= s.rows
	}
	s.p = p
	p.rows += s.rows
}

// hold counts the recipients that are ready for a site.
func (s *site) hold(n int) {
	s.rows += n
	if s.p != nil {
		s.p.rows += n
	}
}

// leave gives it back to those who wait for it. q.mu is held.
func (w *worker) leave() {
	p := w.p
	if p == nil {
		return
	}
	p.active--
	p.used = micros()
	w.q.admit(p)
}

// admit puts as many of the sites that wait for a provider in line as it has room
// for. q.mu is held.
func (q *Queue) admit(p *provider) {
	if p.waiting.len() == 0 {
		return
	}
	if until, _ := q.rest(p); until > 0 {
		if rest := time.Duration(until-micros()) * time.Microsecond; rest > longRest {
			for s := p.waiting.any(); s != nil; s = p.waiting.any() {
				q.postpone(s, rest)
			}
		}
		return
	}
	for range min(q.width(p)-p.active-p.called, p.waiting.len()) {
		s, _ := p.waiting.pop(q.may)
		if s == nil {
			// Nothing is kept for one whose flow may have no worker now.
			q.turn.add(p.waiting.any(), q.may)
			continue
		}
		s.called = p
		p.called++
		q.turn.add(s, q.may)
	}
}

// admits tells whether a provider has room for one more worker. If not, the site
// waits for it. q.mu is held.
func (q *Queue) admits(p *provider, s *site) bool {
	s.at(p)
	until, _ := q.rest(p)
	if until == 0 && p.active+p.called < q.width(p) {
		return true
	}
	if rest := time.Duration(until-micros()) * time.Microsecond; until > 0 && rest > longRest {
		q.postpone(s, rest)
		return false
	}
	if s.turn == nil {
		p.waiting.add(s, q.may)
	}
	return false
}

// room is how many more recipients may be ready for a site on account of its
// provider.
func (s *site) room() int {
	if s.p == nil {
		return siteRows
	}
	return max(providerRows-s.p.rows, 0)
}

// surplus tells a worker that its provider is to have fewer. One whose connection works
// leaves only if there would be too many without the others. q.mu is held.
func (w *worker) surplus() bool {
	n := w.p.active
	if w.good {
		n = w.p.good
	}
	return n > w.q.width(w.p)
}

// took tells whether a host bore a message: it has it, or found fault with the recipient
// or the message. What it refuses for its own state, its network or a policy (RFC 3463
// §3.4, §3.5 and §3.8) says nothing of that.
func (o *Outcome) took() bool {
	if o.Result != Refused {
		return o.Result == Delivered && !o.Aside
	}
	if o.Ours || o.Aside || o.Unreached || o.Code < 500 {
		return false
	}
	_, detail, _ := strings.Cut(o.Enhanced, ".")
	subject, _, _ := strings.Cut(detail, ".")
	return subject != "3" && subject != "4" && subject != "7"
}

// speaks tells whether an outcome is the word of a host of the worker's provider. The owner
// of a domain can name a provider's host before his own: what his says is about his domain
// alone.
func (w *worker) speaks(o *Outcome) bool {
	of, own := strings.CutSuffix(o.Host, w.p.name)
	return w.p.name == w.s.name || own && (of == "" || of[len(of)-1] == '.')
}

// adapt learns from the outcomes of one job how much the provider bears: one more
// connection for each round of messages that it took, half as many when it is too much,
// as many as before when it only puts them off. q.mu is held.
func (w *worker) adapt(outcomes []Outcome) {
	p := w.p
	p.narrow = min(p.narrow, micros()) // the clock was set back
	taken := false
	for i := range outcomes {
		o := &outcomes[i]
		if !w.speaks(o) {
			continue
		}
		// A site that is down says nothing about the others of its provider, a host that
		// says so itself does.
		if o.Strained && (!o.Unreached || !o.Ours) || o.Result == TryLater && o.Unreached && w.crowded() {
			if o.Started >= p.narrow {
				before := p.width
				p.width = max(float64(min(p.active, w.q.width(p)))/2, 1)
				p.narrow = micros()
				w.q.narrowed(p, before, o.Reply)
			}
			return
		}
		taken = taken || o.took()
	}
	if limit := float64(w.q.limits(p.name).Connections); taken && p.width < limit {
		p.width = min(p.width+1/p.width, limit)
		w.q.widened(p)
		w.q.admit(p)
		w.q.dispatch()
	}
}
