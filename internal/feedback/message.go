package feedback

import (
	"context"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/returnpath"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// message is what the history tells of a message.
type message struct {
	first      event.Event
	recipients map[string]mail.Address // by key: those of its transaction, and those who took it
	took       map[string]bool         // of them, by key
	told       map[saying]bool
	passed     map[sort]map[string]bool // the reports on it that its sender got, by their ids
}

// saying is what a report can say only once.
type saying struct {
	kind      event.Kind
	recipient string
	reason    string // and of whom behind the recipient
}

// sort is what reports share a bound with: automatic answers must not use up that of failures.
type sort string

// otherMail is the reason of what has no form.
const otherMail = "mail of another kind came to its return path"

func sortOf(kind event.Kind, reason string) sort {
	if reason == otherMail {
		return "answer"
	}
	return sort(kind)
}

// spent tells whether the sender got all that he gets of a sort.
func (m *message) spent(s sort) bool { return len(m.passed[s]) >= maxPassed }

// about reads what is known of a message; event.ErrNoMessage if nothing is.
func (d *Desk) about(ctx context.Context, id mail.ID) (*message, error) {
	first, err := d.o.History.Accepted(ctx, id)
	if err != nil {
		return nil, err
	}
	told, err := d.o.History.Told(ctx, id)
	if err != nil {
		return nil, err
	}
	m := &message{
		first: first, recipients: map[string]mail.Address{}, took: map[string]bool{},
		told: map[saying]bool{}, passed: map[sort]map[string]bool{},
	}
	for _, r := range first.Detail.Recipients {
		m.add(r)
	}
	for _, e := range told {
		if e.Kind == event.Delivered {
			m.took[m.add(e.Recipient)] = true
			continue
		}
		m.told[saying{e.Kind, e.Recipient, e.Detail.Reason}] = true
		if e.Detail.Source == byPath {
			m.pass(sortOf(e.Kind, e.Detail.Reason), e.Detail.Other)
		}
	}
	return m, nil
}

// add returns the key of a recipient.
func (m *message) add(recipient string) string {
	a, err := mail.ParseAddress(recipient)
	if err != nil {
		return ""
	}
	m.recipients[a.Key()] = a
	return a.Key()
}

func (m *message) pass(s sort, report string) {
	if m.passed[s] == nil {
		m.passed[s] = map[string]bool{}
	}
	m.passed[s][report] = true
}

// only leaves those recipients that a return path is for.
func (m *message) only(token returnpath.Token) {
	for key, a := range m.recipients {
		if !token.IsFor(a) {
			delete(m.recipients, key)
		}
	}
}

// recipient is the one that a report calls by some names; empty = none of them. If the
// message has only one it is that one, whatever the host behind it calls it.
func (m *message) recipient(names []string) string {
	if to := m.named(names); to != "" || len(m.recipients) != 1 {
		return to
	}
	for _, r := range m.recipients {
		return r.String()
	}
	return ""
}

// named is the recipient that has one of some names; empty = none. One who took the
// message goes before the alias that led to him, which the report may name as well.
func (m *message) named(names []string) string {
	alias := ""
	for _, name := range names {
		key := keyOf(name)
		r, ok := m.recipients[key]
		switch {
		case ok && m.took[key]:
			return r.String()
		case ok && alias == "":
			alias = r.String()
		}
	}
	return alias
}

// note makes an event of what a report says; fresh = it was not said before. Whom it
// calls something else may be one of many behind the recipient, such as a list's.
func (m *message) note(i item, recipient, source string, report mail.ID) (e event.Event, fresh bool) {
	if name := i.final(); name != "" && name != keyOf(recipient) {
		i.detail.Reason += " (of " + name + ")"
	}
	said := saying{i.kind, recipient, i.detail.Reason}
	if fresh = !m.told[said] && len(m.told) < maxTold; fresh {
		m.told[said] = true
	}
	i.detail.Source, i.detail.Other = source, report.String()
	return event.Event{
		Message: m.first.Message, Tenant: m.first.Tenant, Account: m.first.Account, Stream: m.first.Stream,
		Kind: i.kind, Recipient: recipient, Detail: i.detail,
	}, fresh
}

// keyOf is an address as it is compared; what is none stays as it is.
func keyOf(text string) string {
	if a, err := mail.ParseAddress(text); err == nil {
		return a.Key()
	}
	return text
}

// choose finds the message of a sender among those with one Message-ID: the only
// one, or the one that passed through us as the trace tells.
func choose(list []event.Event, senders []mail.Address, trace []mail.ID) (event.Event, bool) {
	list = slices.DeleteFunc(list, func(e event.Event) bool {
		from, err := mail.ParseAddress(e.Detail.From)
		return err != nil || !slices.ContainsFunc(senders, func(a mail.Address) bool { return a.Key() == from.Key() })
	})
	for _, e := range list {
		if len(list) == 1 || slices.Contains(trace, e.Message) {
			return e, true
		}
	}
	return event.Event{}, false
}

// traceOf are the ids in the Received fields of a header that may be ours.
func traceOf(h mime.Header) []mail.ID {
	var out []mail.ID
	for f := range h.All() {
		if !f.Is("Received") || len(out) >= maxItems {
			continue
		}
		words := strings.Fields(f.Text())
		for i, w := range words[:max(0, len(words)-1)] {
			if id, err := mail.ParseID(strings.TrimSuffix(words[i+1], ";")); w == "id" && err == nil {
				out = append(out, id)
			}
		}
	}
	return out
}
