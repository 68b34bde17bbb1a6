package intake

import (
	"context"
	"errors"
	"slices"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// reserve keeps quota free for a size: at RCPT the declared one, after the content what
// came if that is more.
func (t *Transaction) reserve(ctx context.Context, a account.Account, size int64) *mail.Fault {
	more, quota := size-t.reserved[a.ID], t.in.o.Directory.Quota(a)
	// Who is over quota must still hear of mail that was not delivered.
	if quota == 0 || t.origin.Door == mail.DoorBounce || more <= 0 {
		return nil
	}
	ok, err := t.in.o.Mailboxes.Reserve(ctx, a.ID, more, quota)
	switch {
	case err != nil:
		return mail.AsFault(err)
	case ok:
		if t.reserved == nil {
			t.reserved = map[mail.ID]int64{}
		}
		t.reserved[a.ID] = size
		return nil
	}
	return noRoom(quota, size)
}

// noRoom is the fault of a message that passes the quota. One larger than all of it never
// finds room, however long it waits.
func noRoom(quota, size int64) *mail.Fault {
	if size > quota {
		return mail.Final(mail.MailboxFull, "The message is larger than the whole mailbox may be")
	}
	return mail.Temporary(mail.MailboxFull, "The mailbox is full")
}

// measure looks at the quotas again where more came than was declared: SIZE is only
// the client's word (RFC 1870 §6.3). Those without room are refused over LMTP; for
// others the queue tries them, unless nobody else gets the message.
func (t *Transaction) measure(ctx context.Context) (fault *mail.Fault) {
	t.accounts = slices.DeleteFunc(t.accounts, func(c copyFor) bool {
		f := t.reserve(ctx, c.account, t.content.size)
		if f == nil || errors.Is(f, mailbox.ErrNoMailbox) { // of who is gone the commit finds out
			return false
		}
		if fault == nil || f.Class == mail.Transient {
			fault = f
		}
		if t.answers(c.account.ID) {
			t.refuse(c.account.ID, f)
			t.failed = append(t.failed, t.failure(c, f))
		} else {
			t.full = append(t.full, c)
		}
		return true
	})
	if len(t.accounts)+len(t.remote) > 0 {
		return nil
	}
	return fault
}

func (t *Transaction) failure(c copyFor, f *mail.Fault) event.Event {
	return event.Event{
		Message: t.id, Tenant: t.origin.Tenant, Account: c.account.ID, Stream: StreamMain, Kind: event.Failed,
		Recipient: c.recipient.Address.Header(),
		Detail:    event.Detail{Ours: true, Code: f.Code(), Enhanced: f.Enhanced(), Reply: f.Public},
	}
}

func (t *Transaction) release() {
	for id, n := range t.reserved {
		t.in.o.Mailboxes.Release(id, n)
	}
	t.reserved = nil
}
