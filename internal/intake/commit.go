package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// entry is one transaction waiting for its commit, with all its rows. It is
// read only once it waits: a group may run more than once.
type entry struct {
	id       mail.ID
	receipt  Receipt // 0 = it cannot be repeated
	body     blob.Body
	copies   []mailbox.Delivery
	gone     []int          // of copies, those whose account is no more; each commit finds them anew
	message  *queue.Message // with those of its recipients that wait; nil = nothing for the queue
	reports  []report
	accepted event.Event
	failed   []event.Event // after it
	refused  bool          // nothing but events is kept
	also     []func(*db.Tx) error
	room     *rate.Reservation
	of       *Transaction // waits for done

	fault *mail.Fault
	done  chan struct{}
}

// entry gathers the rows of a transaction whose bytes are durable.
func (t *Transaction) entry(ctx context.Context) *entry {
	e := &entry{id: t.id, receipt: t.receipt, body: t.stored, refused: t.heard, also: t.also, room: t.room, failed: t.failed, of: t, done: make(chan struct{})}
	now := t.accounts
	if t.quarantine || t.env.Release > 0 {
		now = nil // the queue keeps them
	}
	if len(now) > inTransaction {
		now = now[:inTransaction]
	}
	if len(now) > 0 {
		content := mailbox.Describe(t.stored.ID, t.content.structure(), t.content.scanner.References().Value())
		for _, c := range now {
			e.copies = append(e.copies, t.copy(c, content))
		}
	}
	e.reports = t.reports(len(now))
	e.message = t.queued(ctx, append(t.accounts[len(now):], t.full...), len(e.reports) > 0)
	e.accepted = t.acceptedEvent()
	if e.message != nil {
		if t.quarantine || t.env.Release > 0 {
			t.room.Waits(t.id)
		}
		e.accepted.Detail.Queued = len(e.message.Recipients)
	}
	return e
}

func (t *Transaction) copy(c copyFor, content *mailbox.Content) mailbox.Delivery {
	prefix := t.prefix(c.recipient.Address)
	return mailbox.Delivery{
		Account: c.account.ID, Message: t.id, Body: t.stored.ID, Prefix: prefix,
		Size: int64(len(prefix)) + t.stored.Size, Date: mail.Micros(t.started), Content: content,
	}
}

// queued returns the message with the recipients that wait: those elsewhere, and
// those at home beyond the first hundred; nil if there are none and nothing is to
// be told of others.
func (t *Transaction) queued(ctx context.Context, local []copyFor, reports bool) *queue.Message {
	if len(t.remote)+len(local) == 0 && !reports {
		return nil
	}
	m := t.forQueue(len(t.remote) + len(local))
	by := Sender{t.origin.Account, t.origin.Tenant, t.env.From.Domain}
	for _, r := range t.remote {
		m.Recipients = append(m.Recipients, queue.Recipient{ID: t.in.o.IDs.Next(), Recipient: r, Site: t.in.o.Site(ctx, by, r.Address.Domain)})
	}
	for _, c := range local {
		m.Recipients = append(m.Recipients, t.atHome(c))
	}
	if t.quarantine {
		for i := range m.Recipients {
			m.Recipients[i].State = queue.Held
		}
	}
	return m
}

// forQueue is the message without its recipients.
func (t *Transaction) forQueue(recipients int) *queue.Message {
	m := &queue.Message{
		ID: t.id, Tenant: t.origin.Tenant, Account: t.origin.Account, Stream: StreamMain,
		Tags: t.tags, Body: t.stored.ID, Size: t.stored.Size, LongLines: t.content.ruler.long, Envelope: t.env, Received: mail.Micros(t.started),
		Recipients: make([]queue.Recipient, 0, recipients),
	}
	if t.returned {
		m.From = mail.Address{} // nobody is told of a report that cannot be passed on
	}
	return m
}

// atHome is a copy that is left to the queue. It has its own address, not the one of
// the envelope: a group must not be expanded a second time.
func (t *Transaction) atHome(c copyFor) queue.Recipient {
	return queue.Recipient{ID: t.in.o.IDs.Next(), Recipient: t.member(c.recipient, c.account.Address), Site: queue.SiteLocal}
}

// StreamMain is the stream of mail that named none.
const StreamMain = "main"

// maxShown bounds the recipients that one event names.
const maxShown = 100

func (t *Transaction) acceptedEvent() event.Event {
	id := t.messageID()
	d := event.Detail{
		From: t.env.From.String(), MessageID: id, Size: t.stored.Size,
		Door: t.origin.Door.String(), Helo: t.origin.Helo, TLS: t.origin.TLS,
		Login: t.origin.Login.String(), Forwarded: t.origin.Forwarded,
		Wishes: wishes(t.env), Tags: t.tags, Held: strings.Join(t.heldBy(), ", "),
	}
	if s := t.content.scanner; s != nil {
		d.Subject = s.Subject().Value()
	}
	if t.origin.Session != 0 {
		d.Session = t.origin.Session.String()
	}
	if t.origin.About != 0 {
		d.Other = t.origin.About.String()
	}
	if t.origin.Peer.IsValid() {
		d.Peer = t.origin.Peer.String()
	}
	for _, r := range t.recipients[:min(len(t.recipients), maxShown)] {
		d.Recipients = append(d.Recipients, r.Address.String())
	}
	return event.Event{
		Message: t.id, Tenant: t.origin.Tenant, Account: t.origin.Account, Stream: StreamMain,
		Kind: event.Accepted, Key: event.KeyOf(id), Detail: d,
	}
}

// wishes tells what the sender asked for besides delivery.
func wishes(env mail.Envelope) string {
	var out []string
	if env.Priority != 0 {
		out = append(out, fmt.Sprintf("priority %d", env.Priority))
	}
	if env.By.At != 0 {
		otherwise := "tell me"
		if env.By.Return {
			otherwise = "return it"
		}
		out = append(out, "deliver by "+mail.FromMicros(env.By.At).UTC().Format(time.RFC3339)+" or "+otherwise)
	}
	if env.RequireTLS {
		out = append(out, "TLS all the way")
	}
	if env.TLSOptional {
		out = append(out, "TLS policies put aside")
	}
	return strings.Join(out, ", ")
}

// commitGroup commits a group, or, where that fails, each of its entries by
// itself, so that one bad entry costs its neighbours nothing.
func (in *Intake) commitGroup(group []*entry) {
	started := time.Now()
	lift := in.takeConfirmed()
	durable, err := in.settleBodies(group)
	if err == nil {
		err = in.write(group, lift, durable)
	}
	if err != nil {
		in.confirm(lift...)
	}
	if err != nil && durable() == nil && (len(group) > 1 || errors.Is(err, db.ErrConflict)) && !db.RefusesAll(err) {
		in.o.Logger.Warn("a group of messages did not commit, trying each by itself", "messages", len(group), "error", err)
		for _, e := range group {
			in.settle([]*entry{e}, in.alone(e, durable))
		}
	} else {
		in.settle(group, err)
	}
	in.o.Metrics.group(len(group), time.Since(started))
}

// alone commits an entry by itself. Where groups commit side by side, its twin
// in another one may leave the same fingerprint first: the next try finds it.
func (in *Intake) alone(e *entry, durable func() error) (err error) {
	for range maxTwins {
		if err = in.write([]*entry{e}, nil, durable); !errors.Is(err, db.ErrConflict) {
			return err
		}
	}
	return err
}

// maxTwins bounds how often an entry is tried again because of a twin.
const maxTwins = 3

func (in *Intake) settle(group []*entry, err error) {
	for _, e := range group {
		if err != nil {
			e.fault = storeFault(err)
			in.o.Logger.Error("message not accepted: its commit failed", "message", e.id.String(), "error", err)
			if !errors.Is(err, db.ErrUnknown) {
				in.o.Blobs.Drop(e.body)
			}
		}
		if !e.refused {
			in.o.Metrics.outcome(e.fault)
		}
		close(e.done)
	}
}

func (in *Intake) write(group []*entry, lift []Receipt, durable func() error) error {
	var first map[*entry]mail.ID
	err := in.o.DB.Write(context.Background(), func(tx *db.Tx) (err error) {
		if first, err = in.commit(tx, group, lift); err != nil {
			return err
		}
		return durable()
	})
	if err == nil {
		for e, id := range first {
			e.id = id
			in.o.Blobs.Drop(e.body) // the first one's is kept
		}
	}
	return err
}

// commit writes all rows of a group, set by set. It returns the entries that
// repeat a message that we have, with that message's id.
func (in *Intake) commit(tx *db.Tx, group []*entry, lift []Receipt) (map[*entry]mail.ID, error) {
	repeats, err := in.fingerprints(tx, group, lift)
	if err != nil {
		return nil, err
	}
	var bodies []blob.Body
	var copies []*mailbox.Delivery
	for _, e := range group {
		if _, repeat := repeats[e]; repeat || e.refused {
			continue
		}
		bodies = append(bodies, e.body)
		for i := range e.copies {
			c := e.copies[i] // File writes its results into it
			copies = append(copies, &c)
		}
	}
	if err := in.o.Blobs.Record(tx, bodies...); err != nil {
		return nil, err
	}
	if err := in.o.Mailboxes.File(tx, copies); err != nil {
		return nil, err
	}
	if vanished(group, repeats, copies) {
		return nil, errVanished
	}
	if err := in.o.Queue.Insert(tx, queued(group, repeats)); err != nil {
		return nil, err
	}
	if err := in.count(tx, group, repeats); err != nil {
		return nil, err
	}
	for _, e := range group {
		if _, repeat := repeats[e]; repeat {
			continue
		}
		for _, fn := range e.also {
			if err := fn(tx); err != nil {
				return nil, err
			}
		}
	}
	return repeats, event.Append(tx, in.o.IDs, events(group, repeats, copies))
}

// count counts the messages of a group for their senders.
func (in *Intake) count(tx *db.Tx, group []*entry, repeats map[*entry]mail.ID) error {
	var rooms []*rate.Reservation
	for _, e := range group {
		if _, repeat := repeats[e]; !repeat && !e.refused && e.room != nil {
			rooms = append(rooms, e.room)
		}
	}
	if len(rooms) == 0 {
		return nil
	}
	return in.o.Rates.Commit(tx, rooms...)
}

// queued are the messages of a group that have something for the queue.
func queued(group []*entry, repeats map[*entry]mail.ID) []*queue.Message {
	var out []*queue.Message
	for _, e := range group {
		if _, repeat := repeats[e]; repeat {
			continue
		}
		if m := e.toQueue(); m != nil {
			out = append(out, m)
		}
	}
	return out
}

// events tells the story of a group in the order of its entries: what waits has no
// event of its own, which would cost as much as the one it follows.
func events(group []*entry, repeats map[*entry]mail.ID, copies []*mailbox.Delivery) []event.Event {
	out := make([]event.Event, 0, len(group)+len(copies))
	for _, e := range group {
		if id, repeat := repeats[e]; repeat {
			again := e.accepted
			again.Message, again.Kind, again.Key, again.Detail.Queued = id, event.Duplicate, 0, 0
			out = append(out, again)
			continue
		}
		accepted := e.accepted
		accepted.Detail.Queued += len(e.left())
		out = append(append(out, accepted), e.failed...)
		for i := range e.copies {
			if copies[i].Err == nil || e.of.answers(copies[i].Account) {
				out = append(out, filed(e, copies[i]))
			}
		}
		copies = copies[len(e.copies):]
	}
	return out
}

func filed(e *entry, c *mailbox.Delivery) event.Event {
	v := event.Event{Message: e.id, Tenant: e.accepted.Tenant, Account: c.Account, Stream: e.accepted.Stream, Kind: event.Filed}
	v.Recipient = deliveredTo(c.Prefix)
	v.Detail = event.Detail{Mailbox: "INBOX", UID: c.UID}
	if c.Err != nil {
		v.Kind, v.Detail = event.Failed, event.Detail{Ours: true, Reason: "the account was removed before its copy was filed"}
	}
	return v
}
