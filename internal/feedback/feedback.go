// Package feedback matches what other hosts tell later of mail that they took,
// reports of failure and complaints, to the messages that it is about.
package feedback

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/returnpath"
)

// Options are what a Desk is made of.
type Options struct {
	Paths     *returnpath.Paths
	Directory *account.Directory
	History   *event.Log
}

// Desk takes reports. It may be used by many goroutines.
type Desk struct {
	o     Options
	turns turns
}

var _ intake.Reports = (*Desk)(nil)

// New returns a Desk.
func New(o Options) *Desk { return &Desk{o: o, turns: turns{busy: map[mail.ID]chan struct{}{}}} }

const (
	// maxItems bounds the recipients that are noted of one report.
	maxItems = 100
	// maxTold bounds what is noted of one message.
	maxTold = 1000
	// maxPassed bounds the reports of one sort on one message that its sender gets.
	maxPassed = 20
)

// How it is known which message a report is about.
const (
	byPath      = "report"                 // its return path proves it
	byNamedPath = "report, by return path" // a complaint holds the return path, which only those know who got the message
	byEnvID     = "report, by ENVID"       // the ENVID that we gave the message proves it
	byMessageID = "report, by Message-ID"  // who got the message could have made it up
)

// Resolve implements intake.Reports: a return path leads to the sender of its
// message, as an alias would. Once the history of the message is gone, or if its
// proof is wrong, it is an address like any other.
func (d *Desk) Resolve(ctx context.Context, a mail.Address) (account.Target, bool, error) {
	token, ok, err := d.o.Paths.Read(ctx, a)
	if err != nil || !ok {
		return account.Target{}, false, err
	}
	first, err := d.o.History.Accepted(ctx, token.Message)
	if errors.Is(err, event.ErrNoMessage) {
		return account.Target{}, false, nil
	}
	if err != nil {
		return account.Target{}, false, err
	}
	from, err := mail.ParseAddress(first.Detail.From)
	if err != nil {
		return account.Target{}, false, nil //nolint:nilerr // a null sender has no return path
	}
	target, err := d.o.Directory.Resolve(ctx, from)
	switch {
	case err != nil:
		return account.Target{}, false, err
	case target.Kind == account.Elsewhere, target.Kind == account.Onward:
		target = account.Target{Kind: account.Here, Forwards: []mail.Address{from}}
	case target.Kind == account.Unknown:
		target = account.Target{Kind: account.Here} // to be noted, and for nobody
	}
	return target, true, nil
}

// Hear implements intake.Reports.
func (d *Desk) Hear(ctx context.Context, a intake.Arrival) (intake.Heard, error) {
	n, err := read(a.Content)
	if err != nil {
		return intake.Heard{}, err
	}
	token, source, err := d.path(ctx, n, a)
	if err != nil {
		return intake.Heard{}, err
	}
	if source != "" {
		return d.inTurn(ctx, token.Message, func() (intake.Heard, error) { return d.proven(ctx, token, n, a.ID, source) })
	}
	message, ok, err := d.enveloped(ctx, n, a)
	if err != nil {
		return intake.Heard{}, err
	}
	if ok {
		return d.inTurn(ctx, message, func() (intake.Heard, error) { return d.noted(ctx, message, n, a.ID, byEnvID) })
	}
	return d.likely(ctx, n, a)
}

// path finds the return path that proves which message a report is about, and tells how
// it is known; "" = there is none. It need not be to whom the report came: a complaint
// comes to the mailbox that the feedback loop was given, and names it. Who knows it could
// write to it as well.
func (d *Desk) path(ctx context.Context, n news, a intake.Arrival) (token returnpath.Token, source string, err error) {
	ok := false
	if len(a.To) == 1 {
		if token, ok, err = d.o.Paths.Read(ctx, a.To[0]); err != nil || ok {
			return token, byPath, err
		}
	}
	for _, path := range n.paths {
		if token, ok, err = d.o.Paths.Read(ctx, path); err != nil || ok {
			return token, byNamedPath, err
		}
	}
	return token, "", nil
}

// enveloped finds the message whose ENVID a report repeats. Only hosts that took the
// message know it: it stands nowhere in what their users get. A delivery report must come
// to the sender all the same, so that nobody has to do with the messages of others; a
// complaint comes to the mailbox that the feedback loop was given.
func (d *Desk) enveloped(ctx context.Context, n news, a intake.Arrival) (mail.ID, bool, error) {
	if !n.form || n.envelope == "" {
		return 0, false, nil
	}
	id, ok, err := d.o.Paths.ReadEnvID(ctx, n.envelope)
	if err != nil || !ok {
		return 0, false, err
	}
	first, err := d.o.History.Accepted(ctx, id)
	if errors.Is(err, event.ErrNoMessage) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	_, ok = choose([]event.Event{first}, a.To, nil)
	return id, ok || n.complaint, nil
}

// proven notes what came to a return path, or names one.
func (d *Desk) proven(ctx context.Context, token returnpath.Token, n news, report mail.ID, source string) (intake.Heard, error) {
	m, err := d.about(ctx, token.Message)
	if errors.Is(err, event.ErrNoMessage) {
		return intake.Heard{}, nil
	}
	if err != nil {
		return intake.Heard{}, err
	}
	m.only(token)
	if n.exact {
		n.keep(func(i item) bool { return m.named(i.names) != "" || named(token, i.names) != "" })
	}
	if !n.form {
		// An answer of a robot, or a report in words alone: each may say something
		// else, so that only their number is bounded.
		n.items = []item{{kind: event.Reported, detail: event.Detail{Reply: n.reply, Reason: otherMail}}}
		if m.spent(sortOf(event.Reported, otherMail)) {
			return intake.Heard{Enough: true}, nil
		}
	}
	heard := intake.Heard{Enough: true}
	for _, i := range n.items {
		to := cmp.Or(m.recipient(i.names), named(token, i.names))
		if e, fresh := m.note(i, to, source, report); fresh || !n.form {
			heard.Events = append(heard.Events, e)
			heard.Enough = heard.Enough && m.spent(sortOf(e.Kind, e.Detail.Reason))
		}
	}
	more(heard.Events, n.more)
	return heard, nil
}

// likely notes what came to the sender of a message, and holds its Message-ID. It
// is certain where the sender is the one to whom it came, the recipient one of the
// message's, and no other message has that Message-ID, or our trace tells which. A
// complaint may come to another mailbox; then it must name the sender, our trace and a
// recipient. Whoever got the message knows all of that, so that it stays a hint.
func (d *Desk) likely(ctx context.Context, n news, a intake.Arrival) (intake.Heard, error) {
	id, ok := n.original.Get("Message-ID")
	if !n.form || !ok {
		return intake.Heard{}, nil
	}
	list, err := d.o.History.AcceptedAs(ctx, id)
	if err != nil {
		return intake.Heard{}, err
	}
	trace := traceOf(n.original)
	first, ok := choose(slices.Clone(list), a.To, trace)
	if !ok && n.complaint {
		first, ok = choose(list, []mail.Address{n.from}, trace)
		ok = ok && slices.Contains(trace, first.Message)
		n.exact = true
	}
	if !ok {
		return intake.Heard{}, nil
	}
	return d.inTurn(ctx, first.Message, func() (intake.Heard, error) { return d.noted(ctx, first.Message, n, a.ID, byMessageID) })
}

// inTurn makes sure that what is known of a message stays so until the commit.
func (d *Desk) inTurn(ctx context.Context, message mail.ID, hear func() (intake.Heard, error)) (intake.Heard, error) {
	end, err := d.turns.take(ctx, message)
	if err != nil {
		return intake.Heard{}, err
	}
	heard, err := hear()
	if err != nil {
		end()
		return intake.Heard{}, err
	}
	heard.Done = end
	return heard, nil
}

// noted notes what a report says of recipients of a message.
func (d *Desk) noted(ctx context.Context, message mail.ID, n news, report mail.ID, source string) (intake.Heard, error) {
	m, err := d.about(ctx, message)
	if err != nil {
		return intake.Heard{}, err
	}
	if n.exact {
		n.keep(func(i item) bool { return m.named(i.names) != "" })
	}
	var heard intake.Heard
	for _, i := range n.items {
		to := m.recipient(i.names)
		if to == "" && i.kind != event.Complained { // who passes complaints on may hide who complains
			continue
		}
		if e, fresh := m.note(i, to, source, report); fresh {
			heard.Events = append(heard.Events, e)
		}
	}
	return heard, nil
}

// named is the one of some names that a return path was made for: its own report may
// come before we have noted that the recipient was taken.
func named(token returnpath.Token, names []string) string {
	for _, name := range names {
		if a, err := mail.ParseAddress(name); err == nil && token.Single() && token.IsFor(a) {
			return a.String()
		}
	}
	return ""
}

// more notes how many recipients of a report have no event.
func more(events []event.Event, n int) {
	if len(events) > 0 {
		events[len(events)-1].Detail.More = n
	}
}
