package intake

import (
	"slices"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// wantsToKnow notes of what the sender is to hear once it is done: a copy in a
// mailbox, or, of a group, that it was passed on (RFC 3461 §5.2.7.3). What goes
// elsewhere by itself carries the wish along.
func (t *Transaction) wantsToKnow(r, each mail.Recipient, target account.Target) {
	if !r.Notify.Wants(mail.NotifySuccess) || t.env.From.IsNull() {
		return
	}
	if each.Notify != r.Notify {
		t.expanded = append(t.expanded, r)
		return
	}
	for _, a := range target.Accounts {
		t.told = append(t.told, copyFor{account: a, recipient: r})
	}
}

// report is a recipient of whom the sender is told once a copy is filed.
type report struct {
	copy      int // in the entry's copies; -1 = it depends on none
	recipient queue.Recipient
}

// reports are the successes to tell of, given how many accounts are filed to in
// the commit; the queue tells of the others.
func (t *Transaction) reports(now int) (out []report) {
	served := func(r mail.Recipient, site string) queue.Recipient {
		return queue.Recipient{
			ID: t.in.o.IDs.Next(), Recipient: r, Site: site, State: queue.Served,
			Code: 250, Enhanced: "2.1.5", Ours: true,
		}
	}
	expanded := t.expanded
	if t.quarantine {
		expanded = nil // it was passed on to nobody
	}
	for _, r := range expanded {
		out = append(out, report{copy: -1, recipient: served(r, r.Address.Domain.ASCII)})
	}
	for _, c := range t.told {
		for i, a := range t.accounts[:now] {
			if a.account.ID == c.account.ID {
				out = append(out, report{copy: i, recipient: served(c.recipient, queue.SiteLocal)})
			}
		}
	}
	return out
}

// waits tells whether recipients are left to the queue.
func (e *entry) waits() bool { return e.message != nil && len(e.message.Recipients) > 0 }

// toQueue is what the queue gets of an entry whose copies were filed, nil if
// nothing: those that wait, those whose account is gone, and those whose success is
// to be told.
func (e *entry) toQueue() *queue.Message {
	left := e.left()
	if len(e.reports)+len(left) == 0 {
		return e.message
	}
	var m queue.Message
	if e.message != nil {
		m = *e.message
		m.Recipients = slices.Clone(m.Recipients)
	} else {
		m = *e.of.forQueue(len(left))
	}
	for _, c := range left {
		m.Recipients = append(m.Recipients, e.of.atHome(c))
	}
	for _, r := range e.reports {
		if !slices.Contains(e.gone, r.copy) {
			m.Recipients = append(m.Recipients, r.recipient)
		}
	}
	if len(m.Recipients) == 0 {
		return nil
	}
	return &m
}
