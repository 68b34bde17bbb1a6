package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// A site that cannot be reached, or lets nobody in, is tried again by one message
// at a time, after waits that double from the first to the longest: a try costs one
// connection, whatever waits behind it.
const (
	probeFirst   = 30 * time.Second
	probeLongest = 15 * time.Minute
)

// down is what is known of a site none of whose hosts could be reached.
type down struct {
	since   int64   // microseconds: the end of the first attempt that found it so
	until   int64   // microseconds: when one message may try again; others have the finding before
	asked   int64   // microseconds: when the scheduler looks for that message
	probes  int     // attempts that found it down, those at the same time counted once
	finding Outcome // of the last of them; of a site that was taken over a reply alone
}

const (
	// maxTakenOver bounds the sites that a start takes over: for each there is a question
	// to the database before anything goes.
	maxTakenOver = 10_000
	// maxDown bounds the sites that are known to be down: each takes memory, and a look
	// now and then. A quarter of them may have no more than one message, which is then
	// tried at its own time, as it would be anyway.
	maxDown = 40_000
)

// bound makes the waits no longer than the longest, and what was found no later than now,
// when the clock was set back.
func (d *down) bound(now int64) {
	latest := now + probeLongest.Microseconds()
	d.until, d.asked = min(d.until, latest), min(d.asked, latest)
	d.since, d.finding.Started = min(d.since, now), min(d.finding.Started, now)
}

// Down is a site that could not be reached, as people are told of it.
type Down struct {
	Since, Until time.Time // found so, or taken over from the last process; tried again
	Reply        string    // what the last attempt found
	finding      Outcome
}

// Keeps tells whether a recipient that is deferred waits since its site could not be
// reached, and not for a reason of its own.
func (d *Down) Keeps(r *Recipient) bool {
	f := &d.finding
	return r.Code == f.Code && r.Enhanced == f.Enhanced && r.Ours == f.Ours ||
		r.Ours && strings.HasPrefix(r.Enhanced, "4.4.") && r.Enhanced != "4.4.5" || !r.Ours && r.Code == 421 // see releaseRisen
}

// Words tell in short what is wrong.
func (d *Down) Words() string {
	if d.finding.Ours || d.finding.Code == 421 || d.finding.Code == 0 {
		return "its destination cannot be reached"
	}
	return "its destination " + d.finding.door()
}

// door is why nobody is let in. What is said to a login is 535 (RFC 4954 §6).
func (o *Outcome) door() string {
	said := strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", o.Code, o.Enhanced, o.Reply)), " ")
	switch {
	case o.Ours:
		return o.Reply
	case o.Code == 535:
		return "refuses our login: " + said
	}
	return "lets nobody in: " + said
}

// Down tells of a site that cannot be reached; false if nothing is known.
func (q *Queue) Down(site string) (Down, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.sites[site]
	if s == nil || s.down == nil {
		return Down{}, false
	}
	d := s.down
	return Down{Since: mail.FromMicros(d.since), Until: mail.FromMicros(max(cmp.Or(d.until, d.asked), micros())), Reply: d.finding.Reply, finding: d.finding}, true
}

// judge learns from the outcomes of one job whether the site can be reached.
// q.mu is held.
func (w *worker) judge(outcomes []Outcome) {
	var unreached *Outcome
	aside := false
	for i := range outcomes {
		aside = aside || outcomes[i].Aside
		switch o := &outcomes[i]; {
		case o.Result == NotTried, o.Result == CutOff, o.Aside, o.Unreached && o.Result == Refused: // by a rule of the operator: each message is ruled by itself
		case !o.Unreached:
			w.reached()
			return
		default:
			unreached = o
		}
	}
	switch d := w.s.down; {
	case unreached != nil:
		w.missed(*unreached)
	case aside && d != nil && micros() >= d.until:
		w.q.lengthen(d) // the message that was to try the site never got there
	}
}

// reached notes that the site took up a message of this worker, whatever it said.
func (w *worker) reached() {
	q, s := w.q, w.s
	w.works(true)
	w.lost = false
	s.took++
	if s.down == nil {
		return
	}
	q.o.Logger.Info("a site can be reached again", "site", s.name, "since", mail.FromMicros(s.down.since), "probes", s.down.probes)
	q.changed(Change{Kind: SiteOn, Provider: w.p.name, Site: s.name, Why: fmt.Sprintf("after %s, tried %d times", mail.About(time.Duration(micros()-s.down.since)*time.Microsecond), s.down.probes)})
	s.lastDown, s.down = s.down, nil
	q.risen = append(q.risen, risenOf(s.name, &s.lastDown.finding))
	signal(q.wake)
	q.await(s)
	q.dispatch()
}

// works notes whether the worker's connection works. q.mu is held.
func (w *worker) works(good bool) {
	n := 0
	switch {
	case good && !w.good:
		n = 1
	case !good && w.good:
		n = -1
	}
	w.good = good
	w.s.good += n
	w.p.good += n
}

// crowded tells whether a site that this worker could not reach is there for others: it
// has taken up messages since the worker got its own, on connections that may have ended
// by now, or has some that work. Then it takes no more connections than it has. q.mu is
// held.
func (w *worker) crowded() bool {
	return w.s.down == nil && (w.s.good > 0 || w.s.took != w.seen)
}

// missed notes that no host of the site could be reached.
func (w *worker) missed(o Outcome) {
	q, s := w.q, w.s
	w.works(false)
	w.lost = true
	now := micros()
	switch {
	case w.crowded():
		return // see adapt
	case s.down == nil && q.manyDown(s):
		return // each message tries it at its own time
	case s.down == nil:
		s.down = &down{since: now}
		q.downs++
		// One that comes and goes is not asked more often for that; a 421 is often a
		// limit of connections in a time, and passes with it.
		if last := s.lastDown; o.Ours && last != nil && now-last.until < probeLongest.Microseconds() {
			s.down.probes = last.probes
		}
		q.changed(Change{Kind: SiteOff, Provider: w.p.name, Site: s.name, Why: o.door()})
		q.o.Logger.Info("a site cannot be reached; one message tries it again", "site", s.name, "reply", o.Reply)
	case o.Started < s.down.until || o.Started < s.down.finding.Started:
		return // it began before the site was found down
	}
	s.down.finding = o
	q.lengthen(s.down)
}

// manyDown tells whether there is no room for one more site that is down. q.mu is held.
func (q *Queue) manyDown(s *site) bool {
	alone := s.ready.n == 0 && !s.more
	return q.downs >= maxDown || alone && q.downs >= maxDown/4
}

// lengthen lets a site that is down rest for twice as long as before. One that was taken
// over rests for probes alone: there is no finding yet to answer others with. q.mu is held.
func (q *Queue) lengthen(d *down) {
	d.probes++
	d.asked = micros() + min(probeFirst<<min(d.probes-1, 10), probeLongest).Microseconds()
	if d.finding.Ended > 0 {
		d.until = d.asked
	}
	signal(q.wake)
}

// barred tells whether a site that is down may have no worker now: there is one
// already, which will know more, or it is too early to try again. Then what is
// ready for it is answered with what is known. q.mu is held.
func (q *Queue) barred(s *site) bool {
	switch {
	case s.down == nil || s.good > 0:
		return false
	case s.active > 0:
		return true
	case micros() >= s.down.until:
		return false
	}
	q.share(s)
	return true
}

// share gives what is ready for a site that is down the finding of the attempt
// that found it so. q.mu is held.
func (q *Queue) share(s *site) {
	o, now := s.down.finding, micros()
	o.Shared, o.Also, o.Before = true, nil, nil
	for l := s.ready.pop(); l != nil; l = s.ready.pop() {
		q.outlive(l)
		q.withdraw(l)
		for _, r := range l.job.Recipients {
			o.Recipient, o.Again = r.ID, 0
			if now >= q.Expires(l.job.Message, &r) {
				// The next attempt decides on it, if not this one.
				o.Again = time.Duration(s.down.until-now) * time.Microsecond
			}
			q.collect(&item{lease: l, r: r, outcome: o, stopping: q.ending()})
		}
	}
	s.hold(-s.rows)
	if s.more {
		signal(q.wake)
	}
}

// Mended lets a site that is down be tried now: what kept us out may have been set right.
func (q *Queue) Mended(site string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.askNow(site)
	signal(q.wake)
}

// askNow lets a site that is down be tried now: somebody thinks that it may be
// reached again, or wants to know. q.mu is held.
func (q *Queue) askNow(name string) {
	if s := q.sites[name]; s != nil && s.down != nil {
		s.down.until, s.down.asked = 0, 0
	}
}

// probes are the sites that are down and may be tried again, but nothing is ready
// for them. Each is looked after once until then.
func (q *Queue) probes(now int64) (names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.downs = 0
	for _, s := range q.sites {
		if s.down == nil {
			continue
		}
		q.downs++
		s.down.bound(now)
		if s.down.asked <= now && s.active == 0 && s.ready.n == 0 && q.hasMemory() {
			s.down.asked = now + probeFirst.Microseconds()
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	return names
}

// What waits for a reason of its own says nothing of the site, and would be tried past its
// schedule (see Down.Keeps).
var selectProbe = db.SQL(`SELECT id, flow FROM queue_recipient WHERE site = ? AND level = ? AND flow > ? AND state IN (1, 3) AND (state = 3 OR received <= ?)
	AND (state = 1 OR code = ? AND enhanced = ? AND ours = ? OR ours = 1 AND enhanced LIKE '4.4.%' AND enhanced <> '4.4.5' OR ours = 0 AND code = 421)
	ORDER BY flow, next, id LIMIT 1`)

// probeAll claims the messages that try sites which are down, many in one write: in an
// outage there are thousands.
func (q *Queue) probeAll(ctx context.Context, now int64) error {
	var ids []int64
	for _, name := range q.probes(now) {
		part, err := q.probe(ctx, name, now)
		if err != nil {
			return err
		}
		if ids = append(ids, part...); len(ids) < slice {
			continue
		}
		if err := q.claim(ctx, ids); err != nil {
			return err
		}
		ids = nil
	}
	return q.claim(ctx, ids)
}

// probe finds the message that tries a site which is down, whenever it is due
// itself. The flows try it in turn: the mail of one may come from an address that the
// site lets in where that of another does not.
func (q *Queue) probe(ctx context.Context, name string, now int64) ([]int64, error) {
	q.mu.Lock()
	tried := int64(-1)
	var found Outcome
	if s := q.sites[name]; s != nil {
		tried = s.tried
		if s.down != nil {
			found = s.down.finding
		}
	}
	q.mu.Unlock()
	var ids []int64
	err := q.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		p := probing{tx: tx, site: name, found: &found, now: now}
		ids, err = p.behind(tried)
		if err == nil && len(ids) == 0 && tried >= 0 {
			ids, err = p.behind(-1)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("a message for a site that is down: %w", err)
	}
	if len(ids) == 0 {
		q.mu.Lock()
		defer q.mu.Unlock()
		if s := q.sites[name]; s != nil && s.active == 0 && s.ready.n == 0 {
			s.down = nil
			q.forget(s)
		}
	}
	return ids, nil
}

// probing looks for the message that tries a site which was found down.
type probing struct {
	tx    *db.Tx
	site  string
	found *Outcome
	now   int64
}

// behind finds the first message of the first flow behind one, the more urgent
// first; none if no flow is behind it.
func (p *probing) behind(flow int64) ([]int64, error) {
	var ids []int64
	least := int64(math.MaxInt64)
	for level := 1; level >= -1; level-- {
		var id, of int64
		switch err := p.tx.Row(selectProbe, []any{p.site, level, flow, p.now, p.found.Code, p.found.Enhanced, p.found.Ours}, &id, &of); {
		case errors.Is(err, db.ErrNoRows):
		case err != nil:
			return nil, err
		case of < least:
			ids, least = []int64{id}, of
		}
	}
	return ids, nil
}

// What waits since its site could not be reached has a finding of ours of the class
// "network and routing" (RFC 3463 §3.5), or a 421; what waits for the warm-up of a source
// address has 4.4.5.
const waitsForSite = "(ours = 1 AND enhanced LIKE '4.4.%' AND enhanced <> '4.4.5' OR ours = 0 AND code = 421)"

var (
	releaseRisen = db.SQL("UPDATE queue_recipient SET next = ? WHERE id IN (SELECT id FROM queue_recipient WHERE site = ? AND state IN (1, 3) AND state = 3 AND next > ? AND (" +
		waitsForSite + " OR code = ? AND enhanced = ? AND ours = ?) LIMIT ?)")
	selectWaiting = db.SQL("SELECT site, reply FROM queue_recipient WHERE site > ? AND state IN (1, 3) AND state = 3 AND next > ? AND " + waitsForSite + " ORDER BY site LIMIT 1")
)

// risen is a site that can be reached again, and what was found while it could not.
type risen struct {
	site     string
	code     int
	enhanced string
	ours     bool
}

func risenOf(site string, o *Outcome) risen { return risen{site, o.Code, o.Enhanced, o.Ours} }

// takeOver takes the sites for which something waits since they could not be reached as
// those that the last process found down. Each is tried within the longest wait, one after
// the other: they may be many. What comes for one before that tries it at once. Beyond
// maxTakenOver each recipient is tried at its own time.
func (q *Queue) takeOver(ctx context.Context) error {
	var sites, replies []string
	now := micros()
	for last, found := "", true; found && len(sites) < maxTakenOver; {
		var site, reply string
		err := q.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(selectWaiting, []any{last, now}, &site, &reply) })
		switch found = !errors.Is(err, db.ErrNoRows); {
		case !found:
		case err != nil:
			return fmt.Errorf("sites that could not be reached: %w", err)
		default:
			sites, replies, last = append(sites, site), append(replies, reply), site
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, name := range sites {
		asked := now + probeLongest.Microseconds()*int64(i)/int64(len(sites))
		q.siteOf(name).down = &down{since: now, asked: asked, finding: Outcome{Reply: replies[i]}}
	}
	return nil
}

// raise makes due what waits for a site that can be reached again.
func (q *Queue) raise(ctx context.Context) error {
	q.mu.Lock()
	slices.SortStableFunc(q.risen, func(a, b risen) int { return strings.Compare(a.site, b.site) })
	sites := slices.Compact(q.risen)
	q.risen = nil
	q.mu.Unlock()
	for i, r := range sites {
		if err := q.raiseSite(ctx, r); err != nil {
			q.mu.Lock()
			q.risen = append(q.risen, sites[i:]...)
			q.mu.Unlock()
			return fmt.Errorf("messages for a site that can be reached again: %w", err)
		}
	}
	return nil
}

func (q *Queue) raiseSite(ctx context.Context, r risen) error {
	now := micros()
	for n := int64(maxResults); n == maxResults; {
		err := q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) (err error) {
			n, err = tx.Exec(releaseRisen, now, r.site, now, r.code, r.enhanced, r.ours, maxResults)
			return err
		})
		if err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.due(now)
	return nil
}

// untilProbe is how long no site that is down is to be looked after: one whose
// message is ready waits for a worker, and whoever waits for memory is woken.
func (q *Queue) untilProbe(now int64) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait := longestSleep
	for _, s := range q.sites {
		if s.down != nil && s.active == 0 && s.ready.n == 0 && q.hasMemory() {
			wait = min(wait, time.Duration(max(s.down.asked-now, 0))*time.Microsecond)
		}
	}
	return wait
}
