package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/mime/sevenbit"
)

// maxRecipients is what every server takes in one transaction (RFC 5321
// §4.5.3.1.8).
const maxRecipients = 100

// transaction is one message on its way to one host: one or, if the recipients
// are too many for that, several SMTP transactions.
type transaction struct {
	w       *worker
	m       *queue.Message
	started int64
	body    blob.Reader
	octets  octets
	plan    *sevenbit.Plan // for a 7-bit host: how the message is sent; nil = as it is

	more    bool              // other messages wait for this site
	all     int               // recipients of the job
	pending []queue.Recipient // without an outcome
	done    []queue.Outcome
	putOff  []putOff                  // of done: those whom the next host may take
	first   map[mail.ID]queue.Outcome // of pending: what the host before has said of them; nil = there was none
	ruled   ruled
	begun   bool         // the first one was
	course  queue.Course // nil = nobody asks
}

func newTransaction(w *worker, job *queue.Job) *transaction {
	return &transaction{w: w, m: job.Message, started: mail.Micros(time.Now()), more: job.More, all: len(job.Recipients), pending: job.Recipients, course: job.Course}
}

// mayBegin tells whether there may be one more. Who is settled by then is reported, and
// who is not to be tried any longer is taken off.
func (t *transaction) mayBegin() bool {
	if !t.begun || t.course == nil {
		t.begun = true
		return true
	}
	outcomes, left := t.done, t.pending
	for _, r := range t.pending {
		if o, is := t.first[r.ID]; is {
			outcomes = append(outcomes, o)
		}
	}
	if len(t.putOff) > 0 {
		left = slices.Clone(left)
		for _, p := range t.putOff {
			left = append(left, p.r)
		}
	}
	kept := t.course.Another(outcomes, left)
	var only map[mail.ID]bool
	if n := len(kept); n > 0 && n < len(left) {
		only = make(map[mail.ID]bool, n)
		for i := range kept {
			only[kept[i].ID] = true
		}
	}
	t.retain(only)
	return len(kept) > 0
}

// retain forgets the outcomes that are reported, and everybody but some; nil = nobody.
func (t *transaction) retain(only map[mail.ID]bool) {
	if only != nil {
		var pending []queue.Recipient
		for _, r := range t.pending {
			if only[r.ID] {
				pending = append(pending, r)
			}
		}
		t.pending = pending
	}
	var done []queue.Outcome
	var off []putOff
	for _, p := range t.putOff {
		if only == nil || only[p.r.ID] {
			off = append(off, putOff{p.r, len(done)})
			done = append(done, t.done[p.at])
		}
	}
	t.done, t.putOff = done, off
}

// noReturnPath is what people are told of a sender's address that cannot be made.
const noReturnPath = "The return path of the message cannot be made now"

// unread tells the operator that a body cannot be read.
func (t *transaction) unread(err error) {
	t.w.o.o.Logger.Error("a queued message cannot be read", "message", t.m.ID.String(), "error", err)
}

// open gets hold of the body before a remote is bothered.
func (t *transaction) open() (err error) {
	// A server that stops still reads what is under way.
	t.body, err = t.w.o.o.Blobs.Open(context.WithoutCancel(t.w.ctx), t.m.Body)
	return err
}

func (t *transaction) close() { _ = t.body.Close() } // it was only read

// content is the message as it is stored: prefix and body.
func (t *transaction) content() io.Reader {
	return io.MultiReader(strings.NewReader(string(t.m.Prefix)), io.NewSectionReader(t.body, 0, t.body.Size()))
}

// size is how long it is as it is sent.
func (t *transaction) size() int64 {
	if t.plan != nil {
		return t.plan.Size()
	}
	return t.stored()
}

func (t *transaction) stored() int64 { return int64(len(t.m.Prefix)) + t.body.Size() }

// outcomes are those known; recipients without one were not tried.
func (t *transaction) outcomes() []queue.Outcome { return t.done }

func (t *transaction) untried() []queue.Outcome {
	t.pending = nil
	return t.done
}

// settle gives those that have no outcome yet the same one.
func (t *transaction) settle(p problem) {
	for _, r := range t.pending {
		t.note(r, p)
	}
	t.pending = nil
}

func (t *transaction) note(r queue.Recipient, p problem) {
	rule := t.judge(&p)
	if p.elsewhere && rule == "" {
		t.putOff = append(t.putOff, putOff{r, len(t.done)})
	}
	t.done = append(t.done, queue.Outcome{
		Recipient: r.ID, Result: p.result, Host: p.host, Addr: p.addr, Source: p.source, TLS: p.tls,
		Code: p.code, Enhanced: p.enhanced, Reply: p.text, Ours: p.ours, Quotes: p.quotes, Pause: p.pause, Reports: p.reports, Watches: p.watches, Unreached: p.missed, Aside: p.aside, Strained: p.strains(),
		Started: t.started, Ended: mail.Micros(time.Now()), Again: p.again(t.w.knows(&r, p.source)), Rule: rule, Before: t.w.before,
	})
}

// drop takes those that have an outcome off pending; keep says which have none.
func (t *transaction) drop(batch, keep []queue.Recipient) {
	rest := make([]queue.Recipient, 0, len(keep)+len(t.pending)-len(batch))
	t.pending = append(append(rest, keep...), t.pending[len(batch):]...)
}

// run sends the message to as many recipients as one SMTP transaction takes.
// stale says that the connection, used before, was found dead before MAIL was
// answered.
func (t *transaction) run(c *client) (stale bool) {
	if problem := t.screen(c); problem != nil {
		t.settle(*about(c, *problem))
	}
	if len(t.pending) == 0 {
		return false
	}
	stop := c.watch(t.w.ctx, t.w.set.Grace)
	defer stop()
	batch := t.batch(c)
	if len(batch) == 0 {
		return false // those for whom the connection was good are screened out
	}
	e := &exchange{t: t, c: c, batch: batch, reused: c.served > 0}
	from, alone, err := t.w.o.o.From(t.w.ctx, t.m, e.batch[0].Address)
	if err != nil {
		t.settle(aside(mail.Temporary(mail.SystemError, noReturnPath).Because(err)))
		return false
	}
	if e.from = from; alone {
		e.batch = e.batch[:1]
	}
	room, day := t.w.take(c, len(e.batch))
	if room == 0 {
		return false // see connected
	}
	e.batch = e.batch[:room]
	for i := range e.batch {
		c.addressed(e.batch[i].Address.Domain.ASCII)
	}
	c.served++
	before := len(t.done)
	stale = e.run()
	if day != 0 {
		t.w.settle(c, room, day, t.done[before:])
	}
	if !stale {
		t.drop(e.batch, e.keep)
	}
	return stale
}

// batch is as many of pending as one SMTP transaction takes; pending begins with them.
func (t *transaction) batch(c *client) []queue.Recipient {
	most := min(len(t.pending), c.ext.atOnce(), t.w.recipients)
	if c.ext.maxDomains > 0 {
		most = min(most, t.welcomeFirst(c))
	}
	return t.pending[:most]
}

// welcomeFirst puts first those of pending whom the host takes in this session, and returns
// how many they are.
func (t *transaction) welcomeFirst(c *client) int {
	domains := maps.Clone(c.domains)
	if domains == nil {
		domains = map[string]bool{}
	}
	var first, rest []queue.Recipient
	for _, r := range t.pending {
		d := r.Address.Domain.ASCII
		if !domains[d] && len(domains) >= c.ext.maxDomains {
			rest = append(rest, r)
			continue
		}
		domains[d] = true
		first = append(first, r)
	}
	t.pending = append(first, rest...)
	return len(first)
}

// screen says what keeps the message from being sent to this host at all, for
// some recipients or, as a problem, for all.
func (t *transaction) screen(c *client) *problem {
	final := func(s mail.Status, text string) *problem {
		p := finding(mail.Final(s, text))
		return &p
	}
	t.plan = nil
	if f := inTime(t.m.By, c, time.Now()); f != nil {
		p := finding(f)
		return &p
	}
	if !c.ext.utf8 {
		if !t.m.From.IsASCII() {
			return final(mail.UTF8AddressNeeded, "The sender's address needs SMTPUTF8, which "+c.host+" does not know")
		}
		var rest []queue.Recipient
		for _, r := range t.pending {
			if r.Address.IsASCII() {
				rest = append(rest, r)
				continue
			}
			p := final(mail.UTF8AddressNeeded, "The address needs SMTPUTF8, which "+c.host+" does not know")
			t.note(r, *about(c, *p))
		}
		if t.pending = rest; t.m.UTF8 && t.look(false).header {
			return final(mail.UTF8HeaderNeeded, "The header needs SMTPUTF8, which "+c.host+" does not know")
		}
	}
	// RFC 6152 §3: 8-bit content goes to a host that takes it, or is converted.
	o := t.look(!c.ext.eightBit)
	if f := t.convert(c, !c.ext.eightBit && (o.body || o.header)); f != nil {
		p := finding(f)
		p.aside = f.Class == mail.Transient // it could not be read
		return &p
	}
	if c.ext.size && c.ext.maxSize > 0 && t.size() > c.ext.maxSize {
		// RFC 1870 §6.1
		return final(mail.MessageTooBig, fmt.Sprintf("The message has %d octets, %s takes up to %d", t.size(), c.host, c.ext.maxSize))
	}
	return nil
}

// convert plans how the message goes to a host that cannot have it as it is: a
// 7-bit host, or any if its lines are too long (RFC 5321 §4.5.3.1.6). One that is
// signed or encrypted is left alone: what was signed would no longer be what
// arrives.
func (t *transaction) convert(c *client, eightBit bool) *mail.Fault {
	why, status := "The message has lines over 998 octets", mail.ContentOther
	if eightBit {
		why, status = "The message is 8-bit, "+c.host+" takes 7-bit messages only", mail.ConversionNeeded
	} else if !t.m.LongLines {
		return nil
	}
	src := sevenbit.Join(t.m.Prefix, t.body)
	report, err := sevenbit.Inspect(src, t.stored())
	if err == nil && report.Sealed() {
		return mail.Final(status, why+", and it is signed or encrypted, so that it cannot be converted")
	}
	if err == nil {
		t.plan, err = report.Plan(src)
	}
	if obstacle, ok := errors.AsType[sevenbit.Obstacle](err); ok {
		return mail.Final(status, why+", and it cannot be converted: "+obstacle.Error())
	}
	if err != nil {
		return mail.Temporary(mail.SystemError, unreadable).Because(err)
	}
	return nil
}

// needsUTF8 tells whether the message cannot go without SMTPUTF8.
func (t *transaction) needsUTF8() bool {
	if !t.m.From.IsASCII() {
		return true
	}
	for _, r := range t.pending {
		if !r.Address.IsASCII() {
			return true
		}
	}
	return t.m.UTF8 && t.look(false).header
}
