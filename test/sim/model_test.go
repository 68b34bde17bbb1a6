package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// model is what must be true, told by the commits that happened.
type model struct {
	w *world

	mu         sync.Mutex
	begun      map[*db.Tx]*effects
	byID       map[mail.ID]*recipient
	byAddress  map[string]*recipient
	order      []*recipient
	workers    int // of the living process
	owners     map[int64]bool
	missed     map[string]int64 // when a site could not be reached last
	duplicates map[string]int
	kinds      map[string]int
	gone       []int64 // owners whose process ended and that are not recovered yet
}

// effects are what a transaction means once it has committed.
type effects struct{ run []func() }

func (e *effects) apply() {
	for _, f := range e.run {
		f()
	}
}

// recipient is what is known of one.
type recipient struct {
	id      mail.ID
	address string
	site    string
	m       *queue.Message

	committed, acked bool
	held             bool
	failed           bool   // there is a cause for its report
	served           bool   // it has the message, and the report of that is due
	ended            string // how its story ended
	attempts         int
	lost             bool // a process died that had it under way: a first attempt is counted
	found            bool // a failed attempt told why
	last             queue.Report
	lastAt           int64 // when last was recorded
	due              int64 // no attempt before
	asked            int   // operators who want it now and are at work
	touched          bool  // one was
	notices          int

	hands   string // the worker that has it
	told    bool   // a worker has reported that it is delivered, and that is not recorded
	accepts []*accept
}

// accept is one time that a remote took a message for a recipient.
type accept struct {
	p    *process
	c    *conn
	end  int // where the 250 ends in what the client reads; 0 = there was none
	late bool
}

// heard tells whether the client has read the 250.
func (a *accept) heard() bool { return a.end > 0 && !a.late && a.c.read >= a.end }

func newModel(w *world) *model {
	return &model{w: w, begun: map[*db.Tx]*effects{}, byID: map[mail.ID]*recipient{}, byAddress: map[string]*recipient{},
		owners: map[int64]bool{}, missed: map[string]int64{}, duplicates: map[string]int{}, kinds: map[string]int{}}
}

func (m *model) begin(tx *db.Tx) *effects {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := &effects{}
	m.begun[tx] = e
	return e
}

func (m *model) end(tx *db.Tx) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.begun, tx)
}

// effect has f run if and when the transaction has committed.
func (m *model) effect(tx *db.Tx, f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.begun[tx]; e != nil {
		e.run = append(e.run, f)
		return
	}
	m.w.fail("a transaction that nobody began")
}

func (m *model) add(msg *queue.Message) {
	for i := range msg.Recipients {
		r := &msg.Recipients[i]
		one := &recipient{id: r.ID, address: r.Address.ASCII(), site: r.Site, m: msg, held: r.State == queue.Held}
		m.byID[r.ID], m.byAddress[one.address] = one, one
		m.order = append(m.order, one)
	}
}

func (m *model) of(id mail.ID) *recipient {
	if r := m.byID[id]; r != nil {
		return r
	}
	m.w.fail("nobody knows the recipient %v", id)
	return &recipient{}
}

func (m *model) inserted(msg *queue.Message) {
	for _, r := range msg.Recipients {
		m.of(r.ID).committed = true
	}
}

// Attempted implements queue.Observer.
func (m *model) Attempted(tx *db.Tx, reports []queue.Report) error {
	now := mail.Micros(time.Now())
	for _, r := range reports {
		m.effect(tx, func() { m.attempted(r, now) })
	}
	return nil
}

func (m *model) attempted(o queue.Report, now int64) {
	r, w := m.of(o.Recipient.ID), m.w
	w.trace("  %s %v -> %v %d %s", r.address, o.Result, o.Recipient.State, o.Code, brief(o.Reply))
	if r.lost {
		r.attempts = max(r.attempts, 1)
	}
	r.attempts++
	r.told = r.told && o.Result != queue.Delivered
	switch {
	case r.ended != "" || r.failed || r.served:
		w.fail("%s was attempted, but it is %s (failed %v, served %v)", r.address, cmp.Or(r.ended, "in the queue"), r.failed, r.served)
	case o.Recipient.Attempts != r.attempts:
		w.fail("%s: attempt %d is counted as %d", r.address, r.attempts, o.Recipient.Attempts)
	}
	m.kinds[o.Result.String()]++
	r.last, r.lastAt = o, now
	switch o.Result {
	case queue.Delivered:
		m.delivered(r, o)
	case queue.Refused:
		m.refused(r, o)
	case queue.TryLater:
		m.deferred(r, o, now)
	case queue.CutOff:
		m.cutOff(r, o, now)
	default:
		w.fail("%s: result %v", r.address, o.Result)
	}
	r.failed = o.Recipient.State == queue.Failed
}

func (m *model) delivered(r *recipient, o queue.Report) {
	s := m.said(o.Reply)
	if s == nil || !s.content || s.host != o.Host || !slices.Contains(s.to, r.address) {
		m.w.fail("%s is recorded as delivered, but no host took it with %q", r.address, o.Reply)
	}
	switch o.Recipient.State {
	case 0:
		r.ended = "delivered"
	case queue.Served:
		r.served = true
	default:
		m.w.fail("%s is delivered and then %v", r.address, o.Recipient.State)
	}
}

func (m *model) refused(r *recipient, o queue.Report) {
	s := m.said(o.Reply)
	switch {
	case o.Ours && (m.w.siteOf(r.site).zone.final() || r.m.By.Return):
	case o.Ours && m.w.tooBig(o.Host, r.m):
	case !o.Ours && s != nil && s.code/100 == 5 && s.host == o.Host && (len(s.to) == 0 || slices.Contains(s.to, r.address)):
	default:
		m.w.fail("%s is refused for no reason: %d %s %q", r.address, o.Code, o.Host, o.Reply)
	}
}

func (m *model) deferred(r *recipient, o queue.Report, now int64) {
	first := !r.found
	r.found = true
	expires := r.m.Expires
	if r.m.By.Return {
		expires = min(expires, r.m.By.At)
	}
	if o.Expired {
		if now < expires || o.Shared && o.Started < expires {
			m.w.fail("%s is given up %v before its time", r.address, time.Duration(expires-now)*time.Microsecond)
		}
		m.kinds["expired"]++
	}
	if o.Recipient.State != queue.Deferred {
		return
	}
	retry := m.w.set.Retry
	failures := r.attempts
	if first {
		failures = 1
	}
	wait := cmp.Or(o.Again, retry[min(failures, len(retry))-1])
	next := o.Recipient.Next
	most := wait + wait/10 // they are spread
	if next < min(o.Ended+wait.Microseconds(), expires) || next > now+most.Microseconds() {
		m.w.fail("%s is due in %v after attempt %d, want %v", r.address, time.Duration(next-now)*time.Microsecond, r.attempts, wait)
	}
	r.due = next
}

// cutOff is an attempt whose reply the end of the process did not wait for: it is repeated
// at once, unless somebody wished something else.
func (m *model) cutOff(r *recipient, o queue.Report, now int64) {
	if !m.w.p.stopping {
		m.w.fail("%s is cut off by a process that goes on", r.address)
	}
	if o.Recipient.State == queue.Queued && o.Recipient.Next > now {
		m.w.fail("%s was cut off and is due only in %v", r.address, time.Duration(o.Recipient.Next-now)*time.Microsecond)
	}
}

// said finds the reply that a text comes from.
func (m *model) said(text string) *said {
	_, number, found := strings.Cut(text, "#")
	n, err := strconv.Atoi(number)
	if s, known := m.w.said[n]; found && err == nil && known {
		return &s
	}
	return nil
}

// Administered implements queue.Observer.
func (m *model) Administered(tx *db.Tx, kind string, reports []queue.Report) error {
	for _, r := range reports {
		m.effect(tx, func() { m.administered(kind, m.of(r.Recipient.ID), r.Recipient.State) })
	}
	return nil
}

func (m *model) administered(kind string, r *recipient, to queue.State) {
	w := m.w
	w.trace("  %s is %s", r.address, kind)
	if r.ended != "" {
		w.fail("%s was %s, but it is %s", r.address, kind, r.ended)
	}
	m.kinds[kind]++
	switch kind {
	case "held":
		r.held = true
	case "released":
		r.held, r.touched = false, true
	case "failed":
		r.held, r.failed = false, true
	case "deleted", "recalled":
		r.ended = kind
		if kind == "recalled" && (r.attempts > 0 || r.lost) {
			w.fail("%s is recalled after %d attempts", r.address, r.attempts)
		}
	}
	if want := map[string]queue.State{"held": queue.Held, "released": queue.Queued, "failed": queue.Failed}[kind]; to != want {
		w.fail("%s is %s and then %v", r.address, kind, to)
	}
}

// settled notes reports to the sender.
func (m *model) settled(ids []mail.ID) {
	for _, id := range ids {
		r := m.of(id)
		switch {
		case r.ended != "":
			m.w.fail("%s is reported, but it was %s", r.address, r.ended)
		case r.served:
			r.ended = "delivered"
		case r.failed:
			r.ended = "reported"
		default:
			m.w.fail("%s is reported without a reason", r.address)
		}
		m.w.trace("  %s is settled: %s", r.address, r.ended)
	}
}

// enter and leave count workers.
func (m *model) enter(p *process, site string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.dead.Load() {
		return
	}
	m.workers++
	provider := m.w.provider(site)
	p.active[provider]++
	limit := cmp.Or(m.w.limits.Connections, m.w.set.PerSite)
	if p.active[provider] > limit || m.workers > m.w.set.Concurrency {
		m.w.fail("%d workers for %s, %d in all", p.active[provider], provider, m.workers)
	}
}

func (m *model) leave(p *process, site string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !p.dead.Load() {
		m.workers--
		p.active[m.w.provider(site)]--
	}
}

// handed sees a job that a worker was given.
func (m *model) handed(p *process, worker string, job *queue.Job) {
	if job == nil {
		return
	}
	w, now := m.w, mail.Micros(time.Now())
	for _, given := range job.Recipients {
		r := m.of(given.ID)
		switch {
		case !r.committed || r.ended != "" || r.failed || r.served:
			w.fail("%s is attempted: committed %v, failed %v, served %v, %s", r.address, r.committed, r.failed, r.served, r.ended)
		case r.held:
			w.fail("%s is attempted, though on hold", r.address)
		case r.hands != "":
			w.fail("%s is attempted by %s while %s has it", r.address, worker, r.hands)
		case r.told:
			w.fail("%s is attempted, though it was delivered and that is not recorded yet", r.address)
		case r.m.Release > now:
			w.fail("%s is attempted before the time that its sender gave", r.address)
		case r.m.By.Over(now):
			w.fail("%s is attempted though its sender does not want that any more", r.address)
		case r.due > now && !r.touched && !m.early(r):
			w.fail("%s is attempted %v too early", r.address, time.Duration(r.due-now)*time.Microsecond)
		}
		r.hands = worker
		r.due, r.touched = 0, r.asked > 0
		w.trace("  %s has %s", worker, r.address)
	}
}

// early tells whether an attempt before its time is one that finds out whether a
// site can be reached again, or comes since it can.
func (m *model) early(r *recipient) bool {
	_, down := m.w.p.q.Down(r.site)
	return down || raised(r) || m.missed[r.site] >= r.lastAt
}

// raised tells whether a recipient waits only for its site to be reached.
func raised(r *recipient) bool {
	return r.last.Ours && strings.HasPrefix(r.last.Enhanced, "4.4.") || !r.last.Ours && r.last.Code == 421
}

// reported sees what a worker found.
func (m *model) reported(worker string, job *queue.Job, outcomes []queue.Outcome) {
	for _, given := range job.Recipients {
		if r := m.of(given.ID); r.hands == worker {
			r.hands = ""
		}
	}
	m.learn(outcomes)
}

// partly takes what is reported while a worker goes on with those who are left.
func (m *model) partly(worker string, outcomes []queue.Outcome, left []queue.Recipient) {
	var out []queue.Outcome
	for _, o := range outcomes {
		if slices.ContainsFunc(left, func(r queue.Recipient) bool { return r.ID == o.Recipient }) {
			continue
		}
		out = append(out, o)
		if r := m.of(o.Recipient); r.hands == worker {
			r.hands = ""
		}
	}
	m.learn(out)
}

// withdrawn frees those who were left, and are taken out of the job since somebody wished so.
func (m *model) withdrawn(worker string, left, kept []queue.Recipient) {
	for _, given := range left {
		out := !slices.ContainsFunc(kept, func(r queue.Recipient) bool { return r.ID == given.ID })
		if r := m.of(given.ID); out && r.hands == worker {
			r.hands = ""
		}
	}
}

func (m *model) learn(outcomes []queue.Outcome) {
	for _, o := range outcomes {
		r := m.of(o.Recipient)
		r.told = o.Result == queue.Delivered
		if o.Unreached {
			m.missed[r.site] = mail.Micros(time.Now())
		}
	}
}

// dropped is called when a worker ends, with a panic maybe.
func (m *model) dropped(p *process, worker string) {
	if p.dead.Load() {
		return
	}
	for _, r := range m.order {
		if r.hands == worker {
			r.hands = ""
		}
	}
}

// killed forgets what a process had in its hands.
func (m *model) killed(*process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers = 0
	for _, r := range m.order {
		r.hands, r.told, r.touched, r.asked = "", false, r.touched || r.asked > 0, 0
	}
}

// taken notes that a host took a message.
func (w *world) taken(s *session, to []string, text []byte, number int) (all []*accept) {
	c := s.c
	for _, address := range to {
		r := w.model.byAddress[address]
		if r == nil {
			w.fail("%s was never accepted here", address)
			continue
		}
		if want := string(r.m.Prefix) + w.bodies[r.m.Body]; string(text) != want {
			w.fail("%s got %d octets that are not the message, which has %d", address, len(text), len(want))
		}
		a := &accept{p: c.p, c: c, late: c.closed || c.lost || c.p.dead.Load()}
		w.trace("  %s has it (%d)", address, number)
		for _, before := range r.accepts {
			switch {
			case a.late || !before.heard():
				w.model.duplicates["reply lost"]++
			case before.p.dead.Load():
				w.model.duplicates["killed"]++
			case before.p != c.p:
				w.model.duplicates["stopped"]++
				if !before.p.cut {
					w.fail("%s got the message again after a stop that had time", address)
				}
			default:
				w.fail("%s got the message twice, and its first 250 was heard", address)
			}
		}
		if !a.late && r.ended != "" {
			w.fail("%s got the message, but it is %s", address, r.ended)
		}
		r.accepts = append(r.accepts, a)
		all = append(all, a)
	}
	return all
}

// row is what the table says of a recipient.
type row struct {
	id, next, owner int64
	state           queue.State
	attempts        int
}

func (m *model) rows() (map[mail.ID]row, int) {
	out, messages := map[mail.ID]row{}, 0
	err := m.w.engine.Read(context.Background(), func(tx *db.Tx) error {
		rows, err := tx.Query(db.SQL("SELECT id, next, owner, state, attempts FROM queue_recipient"))
		if err != nil {
			return err
		}
		err = db.Each(rows, func(rows db.Rows) error {
			var r row
			err := rows.Scan(&r.id, &r.next, &r.owner, &r.state, &r.attempts)
			out[mail.ID(r.id)] = r
			return err
		})
		if err != nil {
			return err
		}
		return tx.Row(db.SQL("SELECT COUNT(*) FROM queue_message WHERE id NOT IN (SELECT message FROM queue_recipient)"), nil, &messages)
	})
	if err != nil {
		m.w.fail("rows: %v", err)
	}
	return out, messages
}

// check compares the table with what the commits have told.
func (m *model) check() map[mail.ID]row {
	rows, idle := m.rows()
	w, now := m.w, mail.Micros(time.Now())
	if idle > 0 {
		w.fail("%d messages without a recipient", idle)
	}
	for _, r := range m.order {
		row, has := rows[r.id]
		if has != (r.committed && r.ended == "") {
			w.fail("%s: in the queue %v, committed %v, end %q", r.address, has, r.committed, r.ended)
		}
		if !has {
			continue
		}
		if fault := m.judge(r, row, now); fault != "" {
			w.fail("%s: %s; the row says %+v", r.address, fault, row)
		}
	}
	if len(rows) > len(m.order) {
		w.fail("%d rows, %d recipients", len(rows), len(m.order))
	}
	return rows
}

func (m *model) judge(r *recipient, row row, now int64) string {
	switch {
	case row.attempts != r.attempts && (!r.lost || row.attempts != max(r.attempts, 1)):
		return fmt.Sprintf("%d attempts were told of", r.attempts)
	case (row.state == queue.Held) != r.held:
		return fmt.Sprintf("on hold %v", r.held)
	case (row.state == queue.Failed) != r.failed:
		return fmt.Sprintf("failed %v", r.failed)
	case (row.state == queue.Served) != r.served:
		return fmt.Sprintf("served %v", r.served)
	case row.state == queue.Deferred && row.next != r.last.Recipient.Next && !m.moved(r, row, now):
		return fmt.Sprintf("due at %d", r.last.Recipient.Next)
	case row.state == queue.Queued && row.next > max(now+m.rest(), r.m.Release, r.last.Recipient.Next):
		return "nobody knows why it waits"
	case row.state == queue.Held && row.owner > 16:
		return "it is not known who holds it"
	case row.state != queue.Held && (row.state == queue.Leased) != (row.owner != 0):
		return "a lease without an owner, or the other way round"
	case row.state == queue.Leased && m.owners[row.owner]:
		return "leased by a process that is gone, though that was recovered"
	}
	return ""
}

// rest is how long a recipient may wait that was given back untried, microseconds.
func (m *model) rest() int64 {
	if m.w.alone > 0 || m.w.limits.Rate > 0 {
		return mostPause.Microseconds()
	}
	return 10_000_000
}

// moved tells whether a recipient may be due at another time than its last attempt
// said: its site can be reached again, or its provider wants to be left alone.
func (m *model) moved(r *recipient, row row, now int64) bool {
	if row.next < r.last.Recipient.Next {
		return raised(r) || m.w.shared != ""
	}
	return m.w.shared != "" && row.next <= now+m.rest()
}

// dying notes whose leases are to be recovered.
func (m *model) dying() {
	rows, _ := m.rows()
	for id, r := range rows {
		if r.state == queue.Leased {
			m.gone = append(m.gone, r.owner)
			m.of(id).lost = true
		}
	}
}

// recovered is called when a process runs that has recovered.
func (m *model) recovered() {
	for _, o := range m.gone {
		m.owners[o] = true
	}
	m.gone = nil
}

// left tells what is not settled.
func (m *model) left() string {
	rows, text := m.check(), ""
	for _, r := range m.order {
		if row, has := rows[r.id]; has && row.state != queue.Held {
			text += fmt.Sprintf("%s is %v, ", r.address, row.state)
		}
	}
	return text
}

// delayed notes notices of delay.
func (m *model) delayed(ids []mail.ID) {
	for _, id := range ids {
		r := m.of(id)
		if r.notices++; r.notices > 1 && r.m.By.At == 0 {
			m.w.fail("%s: %d notices of delay", r.address, r.notices)
		}
	}
}

// owed tells whether reports are to be written.
func (m *model) owed() bool {
	return slices.ContainsFunc(m.order, func(r *recipient) bool { return r.ended == "" && (r.failed || r.served) })
}
