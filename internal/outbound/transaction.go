package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/mime/sevenbit"
	"github.com/hayauma/hayauma/internal/wire/smtp"
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
	ruled   ruled
}

func newTransaction(w *worker, job *queue.Job) *transaction {
	return &transaction{w: w, m: job.Message, started: mail.Micros(time.Now()), more: job.More, all: len(job.Recipients), pending: job.Recipients}
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
	t.done = append(t.done, queue.Outcome{
		Recipient: r.ID, Result: p.result, Host: p.host, Addr: p.addr, Source: p.source, TLS: p.tls,
		Code: p.code, Enhanced: p.enhanced, Reply: p.text, Ours: p.ours, Reports: p.reports, Watches: p.watches, Unreached: p.missed, Aside: p.aside, Strained: p.strained || p.code == 421,
		Started: t.started, Ended: mail.Micros(time.Now()), Again: p.again(r.Attempts), Rule: rule,
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
	e := &exchange{t: t, c: c, batch: t.pending[:min(len(t.pending), c.ext.atOnce(), t.w.recipients)], reused: c.served > 0}
	from, alone, err := t.w.o.o.From(t.w.ctx, t.m, e.batch[0].Address)
	if err != nil {
		t.settle(aside(mail.Temporary(mail.SystemError, noReturnPath).Because(err)))
		return false
	}
	if e.from = from; alone {
		e.batch = e.batch[:1]
	}
	room, counted := t.w.take(c, len(e.batch))
	if room == 0 {
		return false // see connected
	}
	e.batch = e.batch[:room]
	c.served++
	before := len(t.done)
	stale = e.run()
	if counted {
		t.w.settle(c, room, t.done[before:])
	}
	if !stale {
		t.drop(e.batch, e.keep)
	}
	return stale
}

// exchange is one SMTP transaction.
type exchange struct {
	t      *transaction
	c      *client
	from   mail.Address // the envelope sender
	batch  []queue.Recipient
	reused bool

	lines    []string
	at       int // the line whose reply is next
	sent     int
	accepted []queue.Recipient
	keep     []queue.Recipient // to be tried in a transaction of their own
	left     []queue.Recipient // of batch, still without a reply
}

func (e *exchange) run() (stale bool) {
	e.left = e.batch
	e.compose()
	if e.c.dirty {
		if reply, err := e.next(); err != nil || reply.Class() != 2 {
			return e.begun(reply, err)
		}
		e.c.dirty = false
	}
	if reply, err := e.next(); err != nil || reply.Class() != 2 {
		return e.begun(reply, err)
	}
	e.c.dirty = true
	for len(e.left) > 0 {
		reply, err := e.next()
		if err != nil {
			e.lost(err, "RCPT to")
			return false
		}
		if e.c.broken { // 421
			e.all(refusal(e.c, reply))
			return false
		}
		e.recipient(e.left[0], reply)
		e.left = e.left[1:]
	}
	if len(e.accepted) == 0 {
		e.abandon()
		return false
	}
	e.data()
	return false
}

// compose makes the lines of the envelope: RSET if one is due, MAIL, RCPTs,
// DATA.
func (e *exchange) compose() {
	t, ext := e.t, e.c.ext
	if e.c.dirty {
		e.lines = append(e.lines, "RSET")
	}
	line := "MAIL FROM:<" + e.from.ASCII() + ">"
	if ext.size {
		line += " SIZE=" + strconv.FormatInt(t.size(), 10)
	}
	if ext.eightBit && t.m.EightBit {
		line += " BODY=8BITMIME"
	}
	if ext.utf8 && t.needsUTF8() {
		line += " SMTPUTF8"
	}
	if ext.dsn {
		line += reportParams(t.named())
	}
	line += wishParams(t.m.Envelope, ext, time.Now())
	e.lines = append(e.lines, line)
	for _, r := range e.batch {
		line := "RCPT TO:<" + r.Address.ASCII() + ">"
		if ext.dsn {
			line += notifyParams(r.Recipient, unwatched(t.m.By, ext))
		}
		e.lines = append(e.lines, line)
	}
	if !ext.chunking {
		e.lines = append(e.lines, "DATA")
	}
}

// next returns the reply to the next line. With PIPELINING all lines, DATA
// being the last, go out in one write (RFC 2920 §3.1).
func (e *exchange) next() (smtp.Reply, error) {
	times := e.c.times
	if e.sent == e.at {
		upTo := e.at + 1
		if e.c.ext.pipelining {
			upTo = len(e.lines)
		}
		if err := e.c.send(times.Command, strings.Join(e.lines[e.at:upTo], "\r\n")+"\r\n"); err != nil {
			return smtp.Reply{}, err
		}
		e.sent = upTo
	}
	e.at++
	if e.at == len(e.lines) && !e.c.ext.chunking {
		return e.c.read(times.DataStart)
	}
	return e.c.read(times.Command)
}

// begun deals with the end at RSET or MAIL. On a connection that served before,
// the peer may have left long ago: that is no failure of this message.
func (e *exchange) begun(reply smtp.Reply, err error) (stale bool) {
	if (err != nil || reply.Code == 421) && e.reused && e.t.w.ctx.Err() == nil {
		return true
	}
	if err != nil {
		e.lost(err, "MAIL to")
		return false
	}
	e.all(e.judged(reply))
	e.abandon()
	return false
}

// recipient takes the reply to a RCPT.
func (e *exchange) recipient(r queue.Recipient, reply smtp.Reply) {
	switch {
	case reply.Class() == 2:
		e.accepted = append(e.accepted, r)
	case len(e.accepted) > 0 && tooMany(reply):
		e.keep = append(e.keep, r)
	default:
		e.t.note(r, *e.judged(reply))
	}
}

// tooMany tells whether a reply asks for another transaction (RFC 5321
// §4.5.3.1.10).
func tooMany(r smtp.Reply) bool {
	return r.Code == 452 && (r.Enhanced == "" || r.Enhanced == "4.5.3") || r.Code == 552 && r.Enhanced == "5.5.3"
}

// judged is a reply to a command about the message: its class decides.
func (e *exchange) judged(reply smtp.Reply) *problem {
	p := refusal(e.c, reply)
	p.strained = false // it is about the message or a recipient; note knows 421, and the queue asks about the rest
	switch {
	case reply.Class() == 2:
		p.result, p.reports, p.watches = queue.Delivered, e.c.ext.dsn, e.c.ext.deliverBy
	case reply.Class() == 5 && !tooMany(reply):
		p.result = queue.Refused
	}
	return p
}

// all gives the same outcome to everyone whose fate this transaction decides:
// not to those who are kept for the next one.
func (e *exchange) all(p *problem) {
	for _, list := range [][]queue.Recipient{e.accepted, e.left} {
		for _, r := range list {
			e.t.note(r, *p)
		}
	}
	e.accepted, e.left = nil, nil
}

// lost is the connection's end in the middle.
func (e *exchange) lost(err error, doing string) {
	p := trouble(e.c.target(), doing, err)
	p.tls = e.c.tls
	if e.t.w.ctx.Err() != nil {
		p.result = queue.NotTried // cut short by us, before the final dot
	}
	e.all(p)
}

// abandon reads what the remote still says to lines that are on their way. If
// DATA was taken although nobody was, it gets an empty message, which has no
// recipients.
func (e *exchange) abandon() {
	for e.at < e.sent && !e.c.broken {
		reply, err := e.next()
		if err != nil {
			return
		}
		if e.at == len(e.lines) && !e.c.ext.chunking && reply.Class() == 3 {
			if e.c.lmtp { // nobody's message has nobody's answer
				e.c.broken = true
				return
			}
			if _, err := e.c.ask(e.c.times.DataEnd, "."); err == nil {
				e.c.dirty = false
			}
		}
	}
}

// data sends the message to those who were accepted.
func (e *exchange) data() {
	if !e.c.ext.chunking && !e.began() {
		return
	}
	follows := ""
	if e.last() { // RFC 2920 §3.1 and its second example
		follows = quitLine
		e.c.parted, e.c.leaves = true, true
	}
	if err := e.t.transmit(e.c, follows); err != nil {
		e.c.broken = true
		if _, ours := errors.AsType[*unreadError](err); ours {
			e.t.unread(err)
			e.all(about(e.c, aside(mail.Temporary(mail.SystemError, unreadable).Because(err))))
			return
		}
		e.lost(err, "sending the message to")
		return
	}
	if e.c.lmtp {
		e.each()
		return
	}
	if p := e.answer(); p != nil {
		e.all(p)
	}
}

// last tells whether the connection is of no more use behind this message.
func (e *exchange) last() bool {
	w := e.t.w
	return !e.t.more && e.c.ext.pipelining && !e.c.lmtp && len(e.batch) == len(e.t.pending) && len(e.keep) == 0 &&
		(w.set.IdleTimeout <= 0 || !w.o.pool.room(e.c))
}

// each takes an answer for each of those who were accepted, in their order (RFC 2033
// §4.2). What the host has said of one holds, whatever becomes of the others.
func (e *exchange) each() {
	for len(e.accepted) > 0 {
		p := e.answer()
		if p == nil {
			return
		}
		e.t.note(e.accepted[0], *p)
		e.accepted = e.accepted[1:]
	}
}

// answer takes one reply to the whole message; nil = it did not come, and those who wait
// for it know.
func (e *exchange) answer() *problem {
	reply, err := e.c.read(e.c.times.DataEnd)
	if err != nil {
		p := trouble(e.c.target(), "the message was sent, its reply did not come from", err)
		p.tls = e.c.tls
		e.all(p)
		return nil
	}
	e.c.dirty = false
	if reply.Class() == 3 {
		e.c.broken = true
	}
	return e.judged(reply)
}

// began tells whether the remote is ready for the message behind DATA.
func (e *exchange) began() bool {
	reply, err := e.next()
	switch {
	case err != nil:
		e.lost(err, "DATA to")
		return false
	case reply.Class() != 3:
		p := e.judged(reply)
		if p.result == queue.Delivered { // no sense in that: out of step
			p.result, e.c.broken = queue.TryLater, true
		}
		e.all(p)
		return false
	}
	return true
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
