package outbound

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// AskRecipient asks the hosts of a site, to which mail for an address goes, whether they
// would take it, and sends none. It ends with its context. One that puts us off for reasons
// of its own is followed by the next, as mail would be.
func (o *Outbound) AskRecipient(ctx context.Context, site string, a mail.Address) callahead.Answer {
	w := &worker{o: o, ctx: ctx, site: site}
	w.refresh()
	w.set.demand = o.demand(w.set, site, w.provider)
	defer w.leave()
	if via := w.set.via; via != nil && via.url != "" {
		return callahead.Answer{Verdict: callahead.Taken, Reply: "a web hook cannot be asked"}
	}
	if end, ends := ctx.Deadline(); ends {
		// The second host is to have its turn where the first does not answer.
		part := time.Until(end) / 3
		w.set.ConnectTimeout, w.set.Timeouts.Greeting = min(w.set.ConnectTimeout, part), min(w.set.Timeouts.Greeting, part)
	}
	first := w.question(a)
	answer, further := first.Answer, first.further
	for shunned := []place(nil); further && len(shunned) < hostsTried-1 && ctx.Err() == nil; {
		shunned = append(shunned, w.c.target().place())
		if !w.next(shunned) {
			break
		}
		next := w.question(a)
		if further = next.further; next.Verdict != callahead.Silent {
			answer = next.Answer // of one that cannot be asked what the first one said holds
		}
	}
	return answer
}

// told is what a host says to a question.
type told struct {
	callahead.Answer
	further bool // the next host may say otherwise
}

// next goes on to a host that was not asked yet, as in elsewhere.
func (w *worker) next(shunned []place) bool {
	p := w.planWithout(shunned)
	if len(p.targets) == 0 {
		return false
	}
	w.leave()
	w.c, _ = w.connect(p, mail.Envelope{})
	return w.c != nil
}

// question puts one to the host of w.c, or to the first one of the site.
func (w *worker) question(a mail.Address) told {
	for {
		if p := w.connected(mail.Envelope{}, a.Domain); p != nil {
			return told{Answer: callahead.Answer{Reply: cmp.Or(p.text, "no host can be reached")}}
		}
		reused := w.c.served > 0
		said, err := w.askRecipient(a)
		if w.c.broken && reused && w.ctx.Err() == nil {
			// One that was kept was found dead, as in serve, or the host bears no more of
			// us on it: that is no word on whether it can be asked.
			w.c.close()
			w.c = nil
			continue
		}
		if err != nil {
			said.Reply, said.further = trouble(w.c.target(), "question to", err).text, true
		}
		return said
	}
}

// askRecipient begins a transaction that is left open: who uses the connection next
// takes it back.
func (w *worker) askRecipient(a mail.Address) (told, error) {
	c := w.c
	stop := c.watch(w.ctx, 0)
	defer stop()
	c.served++
	if c.dirty {
		if reply, err := c.ask(w.set.Timeouts.Command, "RSET"); err != nil || reply.Class() != 2 {
			c.broken = true // RFC 5321 §4.1.1.5: the answer is 250
			return w.unasked("RSET", reply), err
		}
		c.dirty = false
	}
	mailFrom := "MAIL FROM:<>"
	if !a.IsASCII() {
		if !c.ext.utf8 {
			return told{Answer: callahead.Answer{Verdict: callahead.Refused, Reply: c.host + " takes no addresses beyond ASCII"}}, nil
		}
		mailFrom += " SMTPUTF8"
	}
	if reply, err := c.ask(w.set.Timeouts.Command, mailFrom); err != nil || reply.Class() != 2 {
		// RFC 5321 §4.2.4.2: it is about the host, us or reports, and not about the recipient.
		return w.unasked("MAIL", reply), err
	}
	c.dirty = true
	c.addressed(a.Domain.ASCII)
	reply, err := c.ask(w.set.Timeouts.Command, "RCPT TO:<"+a.ASCII()+">")
	if err != nil {
		return told{}, err
	}
	return told{Answer: callahead.Answer{Verdict: callahead.Judge(reply.Code, reply.Enhanced), Reply: w.quoted(reply)}, further: passing(reply)}, nil
}

func (w *worker) unasked(command string, r smtp.Reply) told {
	return told{Answer: callahead.Answer{Reply: command + " was answered: " + w.quoted(r)}, further: true}
}

func (w *worker) quoted(r smtp.Reply) string {
	return fmt.Sprintf("%s: %d %s", w.c.host, r.Code, bounded(r.Text(), 200))
}
