// Package bounce tells senders what could not be delivered, or is late. Its
// reports go back in through intake like any other message.
package bounce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/wire/dsn"
)

// Options are what a Reporter is made of.
type Options struct {
	DB       db.DB
	Blobs    blob.Store
	IDs      *mail.IDs
	Queue    *queue.Queue
	Intake   *intake.Intake
	Hostname func() string
	// Explain says in a sentence or two what a remote's reply, or a finding of ours,
	// means and what to do about it now that nobody tries again, in a language of
	// accounts; empty or nil = its words stand for themselves.
	Explain func(reply, language string) string
	Logger  *slog.Logger
}

// Reporter writes the reports that the queue asks for.
type Reporter struct {
	o     Options
	log   *event.Log
	again chan struct{} // more delay notices are due than one round writes
}

// New returns a Reporter; Run makes it work.
func New(o Options) *Reporter {
	return &Reporter{o: o, log: event.NewLog(o.DB, o.IDs), again: make(chan struct{}, 1)}
}

const (
	// batch bounds the messages looked at in one round.
	batch = 50
	// pollEvery finds delay notices that came due, and what a missed wake-up
	// left behind.
	pollEvery = 30 * time.Second
	// pause keeps a failing store from being asked in a tight loop.
	pause = 5 * time.Second
)

// Run writes reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := r.round(ctx); err != nil && ctx.Err() == nil {
			r.o.Logger.Error("reports to senders wait: they could not be written", "error", err)
			wait(ctx, pause)
		}
		select {
		case <-r.o.Queue.FailedWake():
		case <-r.again:
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// round serves what is due now. One report that cannot be written holds up no
// other: the walk goes on behind it.
func (r *Reporter) round(ctx context.Context) error {
	errs := []error{r.walk(ctx, r.o.Queue.Failed, failure), r.walk(ctx, r.o.Queue.Served, success)}
	late, err := r.o.Queue.Delayed(ctx, batch)
	errs = append(errs, err)
	for _, m := range late {
		errs = append(errs, r.report(ctx, m, delay))
	}
	if len(late) >= batch {
		signalAgain(r.again)
	}
	return errors.Join(errs...)
}

// walk reports on all messages that the queue has for an occasion.
func (r *Reporter) walk(ctx context.Context, more func(context.Context, mail.ID, int) ([]*queue.Message, error), o occasion) error {
	var errs []error
	for after := mail.ID(0); ctx.Err() == nil; {
		list, err := more(ctx, after, batch)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, m := range list {
			errs = append(errs, r.report(ctx, m, o))
			after = m.ID
		}
		if len(list) == 0 {
			break
		}
	}
	return errors.Join(errs...)
}

// signalAgain asks for another round.
func signalAgain(again chan struct{}) {
	select {
	case again <- struct{}{}:
	default:
	}
}

// report writes one report for those recipients that want it and settles all. If it
// would tell of one who has left meanwhile, nothing is written and the next round
// looks at the others again.
func (r *Reporter) report(ctx context.Context, m *queue.Message, o occasion) error {
	err := r.write(ctx, m, o)
	if errors.Is(err, queue.ErrNotFound) {
		signalAgain(r.again)
		return nil
	}
	return err
}

func (r *Reporter) write(ctx context.Context, m *queue.Message, o occasion) error {
	var told []queue.Recipient
	ids := make([]mail.ID, 0, len(m.Recipients))
	for _, rcpt := range m.Recipients {
		ids = append(ids, rcpt.ID)
		if o.concerns(rcpt) {
			told = append(told, rcpt)
		}
	}
	settle := func(tx *db.Tx) error { return r.settle(tx, o, ids) }
	if m.From.IsNull() && o.kind == event.Bounced {
		return r.lost(ctx, m, settle, told)
	}
	if m.From.IsNull() || len(told) == 0 {
		return r.silent(ctx, m, settle, told)
	}
	target, fault := r.o.Intake.Resolve(ctx, m.From)
	redacted := m.RequireTLS && !stays(target)
	t := r.o.Intake.Begin(mail.Origin{Door: mail.DoorBounce, Tenant: m.Tenant, About: m.ID}, mail.Envelope{
		UTF8: !m.From.IsASCII(), EightBit: !m.From.IsASCII(),
		// RFC 6710 §4.6, RFC 8689 §5.
		Priority: m.Priority, RequireTLS: m.RequireTLS && !redacted,
	})
	defer t.Abort()
	if fault == nil && target.Kind == account.Unknown {
		r.o.Logger.Warn("no report: the sender's address does not exist here", "message", m.ID.String(), "sender", m.From.String())
		return r.silent(ctx, m, settle, told)
	}
	if fault == nil {
		fault = t.Add(ctx, mail.Recipient{Address: m.From, Notify: mail.NotifyNever}, target)
	}
	if fault != nil && fault.Class == mail.Permanent {
		r.o.Logger.Warn("no report: the sender's mailbox refuses it", "message", m.ID.String(), "error", fault)
		return r.silent(ctx, m, settle, told)
	}
	if fault != nil {
		return fault
	}
	content, err := r.compose(ctx, composing{message: m, recipients: told, occasion: o, id: t.ID(), language: languageOf(target), redacted: redacted})
	if err != nil {
		return err
	}
	_, _ = t.Write(content) // its fault is that of Commit
	t.Also(settle)
	t.Also(func(tx *db.Tx) error { return event.Append(tx, r.o.IDs, r.events(m, told, o, t.ID())) })
	fault = t.Commit(ctx).Fault
	switch {
	case fault == nil:
		return nil
	case fault.Class == mail.Permanent:
		r.o.Logger.Error("no report: it was refused here", "message", m.ID.String(), "error", fault)
		return r.silent(ctx, m, settle, told)
	}
	return fault
}

// stays tells whether a report goes to mailboxes of ours alone. The way back of another
// may know no REQUIRETLS, and nobody hears of a report that is lost: it holds nothing that
// is to be protected, and goes as all mail does (RFC 8689 §5).
func stays(t account.Target) bool { return t.Kind == account.Here && len(t.Forwards) == 0 }

// languageOf is that of the one who reads the report; empty = not known.
func languageOf(t account.Target) string {
	if len(t.Accounts) != 1 || len(t.Forwards) > 0 {
		return ""
	}
	return t.Accounts[0].Language
}

func (r *Reporter) settle(tx *db.Tx, o occasion, ids []mail.ID) error {
	if o.kind == event.Delayed {
		return r.o.Queue.MarkDelayed(tx, ids)
	}
	return r.o.Queue.Settle(tx, ids)
}

// silent settles recipients of whom nobody is to hear; the trace says so.
func (r *Reporter) silent(ctx context.Context, m *queue.Message, settle func(*db.Tx) error, told []queue.Recipient) error {
	return r.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		if err := settle(tx); err != nil {
			return err
		}
		return event.Append(tx, r.o.IDs, r.untold(m, told))
	})
}

// untold are the events of failures of which nobody is to hear.
func (r *Reporter) untold(m *queue.Message, told []queue.Recipient) []event.Event {
	events := make([]event.Event, 0, len(told))
	for _, rcpt := range told {
		if rcpt.State != queue.Failed {
			continue
		}
		e := r.event(m, rcpt, event.Bounced)
		e.Detail.From = "" // who would be told
		e.Detail.Reason = "no report was sent: there is no sender who could read it"
		events = append(events, e)
	}
	return events
}

func (r *Reporter) events(m *queue.Message, told []queue.Recipient, o occasion, id mail.ID) []event.Event {
	out := make([]event.Event, 0, len(told))
	for _, rcpt := range told {
		e := r.event(m, rcpt, o.kind)
		e.Detail.Other = id.String()
		out = append(out, e)
	}
	return out
}

func (r *Reporter) event(m *queue.Message, rcpt queue.Recipient, kind event.Kind) event.Event {
	return event.Event{
		Message: m.ID, Tenant: m.Tenant, Account: m.Account, Stream: m.Stream,
		Kind: kind, Recipient: rcpt.Address.String(),
		Detail: event.Detail{From: m.From.String()},
	}
}

// original reads what a report returns of the message: all of it if the sender
// asked for that and it is small, else its header; of that only what names the message,
// if the report is redacted.
func (r *Reporter) original(ctx context.Context, c composing) (b []byte, headersOnly bool, err error) {
	m := c.message
	body, err := r.o.Blobs.Open(ctx, m.Body)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
		r.o.Logger.Error("a report goes out without its original: the body cannot be read", "message", m.ID.String(), "error", err)
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open body: %w", err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	full := c.occasion.returns && m.Ret == "FULL" && !m.RequireTLS && body.Size() <= maxReturned // RFC 8689 §5
	size := body.Size()
	if !full {
		size = min(size, maxReturnedHeader)
	}
	b = make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(body, 0, size), b); err != nil {
		return nil, false, fmt.Errorf("read body: %w", err)
	}
	// A whole message may not be encoded within a report, and 8-bit content
	// would not reach every sender.
	if full && dsn.Plain(b) {
		return b, false, nil
	}
	if c.redacted {
		return nameOf(b), true, nil
	}
	return headerOf(b), true, nil
}
