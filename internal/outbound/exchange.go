package outbound

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

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
		// RSET is about the message before. RFC 5321 §4.1.1.5: the answer is 250.
		if reply, err := e.next(); err != nil || reply.Class() != 2 {
			return e.stale("RSET to")
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
		if reply.Code == 421 {
			e.all(e.judged(reply))
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

// begun deals with the end at MAIL. On a connection that served before, the peer may
// have left long ago: that is no failure of this message.
func (e *exchange) begun(reply smtp.Reply, err error) (stale bool) {
	if (err != nil || reply.Code == 421) && e.reused {
		return e.stale("MAIL to")
	}
	if err != nil {
		e.lost(err, "MAIL to")
		return false
	}
	e.all(e.judged(reply))
	e.abandon()
	return false
}

// stale has a fresh connection made for the message, unless the server stops.
func (e *exchange) stale(doing string) bool {
	if stops := e.t.w.ctx.Err(); stops != nil {
		e.c.broken = true
		e.lost(stops, doing)
		return false
	}
	return true
}

// recipient takes the reply to a RCPT. A bare 552 behind others who were taken does not
// tell which of its meanings it has: in a transaction that it begins it will.
func (e *exchange) recipient(r queue.Recipient, reply smtp.Reply) {
	switch {
	case reply.Class() == 2:
		e.accepted = append(e.accepted, r)
	case len(e.accepted) > 0 && (tooMany(reply) || reply.Code == 552 && reply.Enhanced == ""):
		e.keep = append(e.keep, r)
	default:
		e.t.note(r, *e.judged(reply))
	}
}

// tooMany tells whether a reply asks for another transaction. RFC 5321 §4.5.3.1.10: 552
// is 452 from hosts that go by RFC 821. Its other meanings, a full mailbox and a message
// that is too large, are final.
func tooMany(r smtp.Reply) bool {
	switch {
	case r.Code != 452 && r.Code != 552:
		return false
	case r.Enhanced == "4.5.3", r.Enhanced == "5.5.3":
		return true
	}
	return r.Code == 452 && r.Enhanced == "" || strings.Contains(strings.ToLower(r.Text()), "too many recipients")
}

// judged is a reply to a command about the message that keeps it from going on: its class
// decides, unless it is about the connection.
func (e *exchange) judged(reply smtp.Reply) *problem {
	if p := e.c.insists(reply); p != nil {
		return p
	}
	p := refusal(e.c, reply)
	p.strained = false // it is about the message or a recipient; note knows 421, and the queue asks about the rest
	p.elsewhere = passing(reply)
	if reply.Class() == 5 && !tooMany(reply) {
		p.result = queue.Refused
	}
	return p
}

// final is the reply to the end of the message: no other one says that the host has it.
func (e *exchange) final(reply smtp.Reply) *problem {
	p := e.judged(reply)
	if reply.Class() == 2 {
		p.result, p.reports, p.watches = queue.Delivered, e.c.ext.dsn, e.c.ext.deliverBy
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
	p.tls = e.c.trace()
	if p.elsewhere = e.t.w.ctx.Err() == nil; !p.elsewhere {
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
		e.cut(err)
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

// cut is the end in the middle of the message. A host that refuses what it has seen so far
// and closes has said so before, and it would say so each time.
func (e *exchange) cut(err error) {
	if !errors.Is(err, errEarly) && (!e.c.lmtp || len(e.accepted) == 1) { // else it may be about the first of them alone
		if reply, none := e.c.read(quitTimeout); none == nil && reply.Class() > 3 {
			e.all(e.judged(reply))
			return
		}
	}
	e.lost(err, "sending the message to")
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
		stops := e.t.w.ctx.Err()
		p := trouble(e.c.target(), "the message was sent, its reply did not come from", cmp.Or(stops, err))
		p.tls = e.c.trace()
		if stops != nil {
			p.result = queue.CutOff
		}
		e.all(p)
		return nil
	}
	e.c.dirty = false
	if reply.Class() == 3 {
		e.c.broken = true
	}
	return e.final(reply)
}

// began tells whether the remote is ready for the message behind DATA.
func (e *exchange) began() bool {
	reply, err := e.next()
	switch {
	case err != nil:
		e.lost(err, "DATA to")
		return false
	case reply.Class() == 2, reply.Class() != 3 && e.c.strays(): // that to another command
		e.lost(e.c.fail(errEarly), "DATA to")
		return false
	case reply.Class() != 3:
		e.all(e.judged(reply))
		return false
	}
	return true
}
