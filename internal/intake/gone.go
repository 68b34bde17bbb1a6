package intake

import (
	"cmp"
	"errors"
	"slices"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// errVanished says that every account of a message was removed since RCPT.
var errVanished = errors.New("the accounts of all recipients were removed meanwhile")

// vanished notes which copies of a group have no account any more, and tells
// whether a message of it would be kept for nobody.
func vanished(group []*entry, repeats map[*entry]mail.ID, copies []*mailbox.Delivery) (nobody bool) {
	for _, e := range group {
		e.gone = nil
		if _, repeat := repeats[e]; repeat || len(e.copies) == 0 {
			continue
		}
		for i, c := range copies[:len(e.copies)] {
			if c.Err != nil {
				e.gone = append(e.gone, i)
			}
		}
		nobody = nobody || len(e.gone) == len(e.copies) && !e.waits()
		copies = copies[len(e.copies):]
	}
	return nobody
}

// left are the copies without an account of which the door has no reply: the queue
// finds nobody under their addresses, and tells the sender.
func (e *entry) left() (out []copyFor) {
	for _, i := range e.gone {
		if c := e.of.accounts[i]; !e.of.answers(c.account.ID) {
			out = append(out, c)
		}
	}
	return out
}

// took notes a recipient, and for LMTP, where each has a reply after the content as
// well (RFC 2033 §4.2), the one account that it leads to.
func (t *Transaction) took(r mail.Recipient, target account.Target) {
	t.recipients = append(t.recipients, r)
	if t.origin.Door != mail.DoorLMTP {
		return
	}
	var only mail.ID // none: of a group the queue tells
	if len(target.Accounts) == 1 && len(target.Forwards)+len(target.Nowhere) == 0 {
		only = target.Accounts[0].ID
	}
	t.only = append(t.only, only)
}

// answers tells whether the door replies for an account by itself.
func (t *Transaction) answers(id mail.ID) bool { return slices.Contains(t.only, id) }

// refuse has the door reply with a fault for the recipients that lead to an account.
func (t *Transaction) refuse(id mail.ID, f *mail.Fault) {
	if t.refused == nil {
		t.refused = map[mail.ID]*mail.Fault{}
	}
	t.refused[id] = f
}

// refuseGone refuses those whose account was gone when all others were filed.
func (t *Transaction) refuseGone(e *entry) {
	for _, i := range e.gone {
		t.refuse(e.copies[i].Account, mail.Final(mail.NoSuchMailbox, "The account was removed before the message was filed"))
	}
}

func (t *Transaction) result(f *mail.Fault) Result {
	r := Result{ID: t.id, Fault: f, Each: make([]*mail.Fault, len(t.recipients))}
	for i := range r.Each {
		r.Each[i] = f
		if len(t.only) > 0 {
			r.Each[i] = cmp.Or(t.refused[t.only[i]], f)
		}
	}
	return r
}
