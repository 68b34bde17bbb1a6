package pop3d

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// maildrop is an INBOX as it was at the login (RFC 1939 §4).
type maildrop struct {
	account account.Login
	store   *mailbox.Store
	view    *mailbox.View // read-only: what \Recent means is for IMAP
	items   []item        // message n is items[n-1]
	ahead   []mailbox.Row // rows of messages that are likely to be asked for next

	count int   // messages not deleted
	size  int64 // octets of those
}

// item is one message.
type item struct {
	message mail.ID
	size    int64
	uid     uint32
	deleted bool // by DELE
	twin    bool // a copy of a message that stands before it
}

// unique is the message's unique-id: the message's own id, which it keeps for
// ever and in any mailbox. Copies within one mailbox are told apart by UID.
// RFC 1939 §7, UIDL
func (i item) unique() string {
	if i.twin {
		return i.message.String() + "-" + strconv.FormatUint(uint64(i.uid), 10)
	}
	return i.message.String()
}

func openMaildrop(ctx context.Context, store *mailbox.Store, acc account.Login) (*maildrop, error) {
	view, err := store.Select(ctx, acc.ID, mailbox.Inbox, true)
	if err != nil {
		return nil, err
	}
	d := &maildrop{account: acc, store: store, view: view, items: make([]item, 0, view.Count())}
	seen := make(map[mail.ID]struct{}, view.Count())
	all := view.UIDs(mailbox.Set{{First: 1, Last: 0}})
	err = view.Rows(ctx, all, 0, func(r mailbox.Row) error {
		_, twin := seen[r.Message]
		seen[r.Message] = struct{}{}
		d.items = append(d.items, item{message: r.Message, size: r.Size, uid: r.UID, twin: twin})
		return nil
	})
	if err != nil {
		view.Close() //nolint:contextcheck // closing a View outlives the session
		return nil, fmt.Errorf("read the messages: %w", err)
	}
	d.reset()
	return d, nil
}

func (d *maildrop) close() { d.view.Close() }

// reset unmarks all messages.
func (d *maildrop) reset() {
	d.count, d.size = len(d.items), 0
	for i := range d.items {
		d.items[i].deleted = false
		d.size += d.items[i].size
	}
}

// find returns a message that is there and not deleted.
func (d *maildrop) find(n int) (*item, bool) {
	if n < 1 || n > len(d.items) || d.items[n-1].deleted {
		return nil, false
	}
	return &d.items[n-1], true
}

func (d *maildrop) remove(i *item) {
	i.deleted = true
	d.count--
	d.size -= i.size
}

// readAhead is how many rows are read at once for a client that pipelines.
const readAhead = 32

// row reads what is needed to open message n; ErrNoMessage if another session
// has removed it. With more, rows behind it are read as well.
func (d *maildrop) row(ctx context.Context, n int, more bool) (mailbox.Row, error) {
	uid := d.items[n-1].uid
	for i, r := range d.ahead {
		if r.UID == uid {
			d.ahead = d.ahead[i+1:]
			return r, nil
		}
	}
	last := n
	if more {
		last = min(n+readAhead-1, len(d.items))
	}
	uids := make([]uint32, 0, last-n+1)
	for _, i := range d.items[n-1 : last] {
		uids = append(uids, i.uid)
	}
	d.ahead = nil
	err := d.view.Rows(ctx, uids, mailbox.WantBody, func(r mailbox.Row) error {
		d.ahead = append(d.ahead, r)
		return nil
	})
	if err != nil {
		return mailbox.Row{}, err
	}
	if len(d.ahead) == 0 || d.ahead[0].UID != uid {
		return mailbox.Row{}, mailbox.ErrNoMessage
	}
	r := d.ahead[0]
	d.ahead = d.ahead[1:]
	return r, nil
}

// errReplaced says that there is another INBOX in place of the one we saw.
var errReplaced = errors.New("the mailbox was replaced")

// update removes what was deleted: the UPDATE state of RFC 1939 §6.
func (d *maildrop) update(ctx context.Context) (int, error) {
	var uids []uint32
	for _, i := range d.items {
		if i.deleted {
			uids = append(uids, i.uid)
		}
	}
	if len(uids) == 0 {
		return 0, nil
	}
	view, err := d.store.Select(ctx, d.account.ID, mailbox.Inbox, false)
	if err != nil {
		return 0, err
	}
	defer view.Close() //nolint:contextcheck // closing a View outlives the session
	if view.Mailbox().ID != d.view.Mailbox().ID || view.Mailbox().UIDValidity != d.view.Mailbox().UIDValidity {
		return 0, errReplaced
	}
	mark := mailbox.Change{Mode: mailbox.Add, Flags: mailbox.Deleted}
	if err := view.StoreEach(ctx, uids, mark, func(mailbox.Row) error { return nil }); err != nil {
		return 0, err
	}
	gone, err := view.Expunge(ctx, uids)
	return len(gone), err
}
