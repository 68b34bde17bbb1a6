package bounce

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// lost settles what failed of mail without a sender: there is never a report about a
// report (RFC 5321 §4.5.5). The log tells of it, and so does the message that a report
// of ours was about, whose own trace would still say that its sender knows.
func (r *Reporter) lost(ctx context.Context, m *queue.Message, settle func(*db.Tx) error, told []queue.Recipient) error {
	about, err := r.about(ctx, m.ID)
	if err != nil {
		return err
	}
	events := r.untold(m, told)
	if about.Message != 0 {
		events = append(events, unheard(about, m)...)
	}
	err = r.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		if err := settle(tx); err != nil {
			return err
		}
		return event.Append(tx, r.o.IDs, events)
	})
	if err != nil {
		return err
	}
	for _, rcpt := range m.Recipients {
		attrs := []any{"message", m.ID.String(), "recipient", rcpt.Address.String(), "reply", mail.ReplyLine(rcpt.Code, rcpt.Enhanced, rcpt.Reply)}
		if about.Message == 0 {
			r.o.Logger.Warn("mail without a sender could not be delivered: nobody is told", attrs...)
			continue
		}
		r.o.Logger.Warn("a report could not be delivered: the sender of the message that it is about does not know", append(attrs, "about", about.Message.String())...)
	}
	return nil
}

// about returns how the message was accepted that a report of ours tells of; the zero
// event if this is none, or no history is kept of it any more.
func (r *Reporter) about(ctx context.Context, report mail.ID) (event.Event, error) {
	e, err := r.log.Accepted(ctx, report)
	if err == nil && e.Detail.Other == "" {
		return event.Event{}, nil
	}
	var id mail.ID
	if err == nil {
		id, err = mail.ParseID(e.Detail.Other)
	}
	if err == nil {
		e, err = r.log.Accepted(ctx, id)
	}
	if errors.Is(err, event.ErrNoMessage) {
		return event.Event{}, nil
	}
	return e, err
}

// unheard are the events of a message whose report could not be delivered.
func unheard(about event.Event, report *queue.Message) []event.Event {
	out := make([]event.Event, 0, len(report.Recipients))
	for _, rcpt := range report.Recipients {
		out = append(out, event.Event{
			Message: about.Message, Tenant: about.Tenant, Account: about.Account, Stream: about.Stream,
			Kind: event.Bounced, Recipient: rcpt.Address.String(),
			Detail: event.Detail{
				Reason: "the sender could not be told: the report was not delivered to this address",
				Host:   rcpt.Host, Code: rcpt.Code, Enhanced: rcpt.Enhanced, Reply: rcpt.Reply, Ours: rcpt.Ours,
				Other: report.ID.String(),
			},
		})
	}
	return out
}
