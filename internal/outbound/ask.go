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
// would take it, and sends none. It ends with its context.
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
	for {
		if p := w.connected(mail.Envelope{}); p != nil {
			return callahead.Answer{Reply: cmp.Or(p.text, "no host can be reached")}
		}
		reused := w.c.served > 0
		answer, err := w.askRecipient(a)
		if err == nil {
			return answer
		}
		if !reused || ctx.Err() != nil {
			return callahead.Answer{Reply: trouble(w.c.target(), "question to", err).text}
		}
		// One that was kept was found dead, as in serve.
		w.c.close()
		w.c = nil
	}
}

// askRecipient begins a transaction that is left open: who uses the connection next
// takes it back.
func (w *worker) askRecipient(a mail.Address) (callahead.Answer, error) {
	c := w.c
	stop := c.watch(w.ctx, 0)
	defer stop()
	c.served++
	if c.dirty {
		if reply, err := c.ask(w.set.Timeouts.Command, "RSET"); err != nil || reply.Class() != 2 {
			return w.unasked("RSET", reply), err
		}
		c.dirty = false
	}
	mailFrom := "MAIL FROM:<>"
	if !a.IsASCII() {
		if !c.ext.utf8 {
			return callahead.Answer{Verdict: callahead.Refused, Reply: c.host + " takes no addresses beyond ASCII"}, nil
		}
		mailFrom += " SMTPUTF8"
	}
	if reply, err := c.ask(w.set.Timeouts.Command, mailFrom); err != nil || reply.Class() != 2 {
		// RFC 5321 §4.2.4.2: it is about us or about reports, and not about the recipient.
		return w.unasked("MAIL", reply), err
	}
	c.dirty = true
	reply, err := c.ask(w.set.Timeouts.Command, "RCPT TO:<"+a.ASCII()+">")
	if err != nil {
		return callahead.Answer{}, err
	}
	return callahead.Answer{Verdict: callahead.Judge(reply.Code, reply.Enhanced), Reply: w.quoted(reply)}, nil
}

func (w *worker) unasked(command string, r smtp.Reply) callahead.Answer {
	return callahead.Answer{Reply: command + " was answered: " + w.quoted(r)}
}

func (w *worker) quoted(r smtp.Reply) string {
	return fmt.Sprintf("%s: %d %s", w.c.host, r.Code, bounded(r.Text(), 200))
}
