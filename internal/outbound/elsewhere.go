package outbound

import (
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// hostsTried bounds the hosts that one attempt offers a message to. RFC 5321 §5.1 wants
// each of them tried in order, or at least two.
const hostsTried = 3

// putOff is a recipient of whom the next host may say otherwise, and its outcome.
type putOff struct {
	r  queue.Recipient
	at int // in transaction.done
}

// place is one server of a host: another port is another one.
type place struct {
	host string
	port uint16
}

func (t target) place() place { return place{t.host, t.addr.Port()} }

// passing tells whether a reply is about the host that gave it, or about this moment: it
// has no room, is busy, failed. What is about the mailbox (X.2), the message (X.6), a rule
// or how much we send (X.7) other hosts of the site say as well, and a host that greylists
// wants to be left alone.
func passing(r smtp.Reply) bool {
	if r.Class() != 4 || tooMany(r) || greylists(r.Code, r.Enhanced, strings.ToLower(r.Text())) {
		return false
	}
	if r.Enhanced == "" {
		return r.Code != 450 // RFC 5321 §4.2.3: the mailbox is busy
	}
	return slices.ContainsFunc([]string{"4.0.", "4.3.", "4.4."}, func(subject string) bool { return strings.HasPrefix(r.Enhanced, subject) })
}

// elsewhere offers the message to the next hosts for those whom a host has put off for
// reasons of its own, or whose connection it broke before it had the whole message. If
// none of them can be asked, what the first one said holds.
func (w *worker) elsewhere(t *transaction) {
	var shunned []place
	for len(t.putOff) > 0 && len(shunned) < hostsTried-1 && w.ctx.Err() == nil {
		o := t.done[t.putOff[0].at]
		shunned = append(shunned, place{o.Host, o.Addr.Port()})
		p := w.planWithout(shunned)
		if len(p.targets) == 0 || !t.mayBegin() {
			break
		}
		off := t.putOff
		t.putOff = nil
		w.leave()
		var problem *problem
		if w.c, problem = w.connect(p, t.m.Envelope); problem != nil {
			return
		}
		t.again(w.c, off)
	}
	// The next message begins with the first host again.
	if len(shunned) > 1 || len(shunned) == 1 && w.c != nil && w.c.target().place() != shunned[0] {
		w.leave()
		w.c = nil
	}
}

// planWithout is the plan without the servers that were asked.
func (w *worker) planWithout(shunned []place) plan {
	p := w.o.plan(w.ctx, w.site, w.set)
	p.fault, p.targets = nil, slices.DeleteFunc(p.targets, func(a target) bool { return slices.Contains(shunned, a.place()) })
	return p
}

// again offers the message to one more host for some recipients.
func (t *transaction) again(c *client, off []putOff) {
	t.first = make(map[mail.ID]queue.Outcome, len(off))
	for _, p := range off {
		o := t.done[p.at]
		t.first[o.Recipient] = o
		t.pending = append(t.pending, p.r)
		t.w.note(tryOf(o))
	}
	t.done = slices.DeleteFunc(t.done, func(o queue.Outcome) bool { _, is := t.first[o.Recipient]; return is })
	for left := 0; left != len(t.pending) && !c.broken; {
		left = len(t.pending)
		t.run(c)
		t.weigh()
		if len(t.pending) > 0 && len(t.pending) != left && !c.broken && !t.mayBegin() {
			break
		}
	}
	for _, r := range t.pending { // nobody has said anything
		t.done = append(t.done, t.first[r.ID])
	}
	t.pending, t.first = nil, nil
}

// weigh sets what the host has said beside what the one before it said.
func (t *transaction) weigh() {
	for i, o := range t.done {
		was, is := t.first[o.Recipient]
		delete(t.first, o.Recipient)
		switch {
		case !is:
		case o.Ours && o.Result == queue.Refused, o.Result == queue.NotTried:
			t.done[i] = was // a host that cannot have the message says nothing of the first one
		default:
			t.done[i].Strained = o.Strained || was.Strained
		}
	}
}
