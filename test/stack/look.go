package stack

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// Address reads an address; a test that misspells one fails.
func (s *Stack) Address(text string) mail.Address {
	s.t.Helper()
	a, err := mail.ParseAddress(text)
	if err != nil {
		s.t.Fatalf("address %q: %v", text, err)
	}
	return a
}

// Account makes an account, and its domain if need be, with the common
// Password and a quota in octets, 0 = that of Options.
func (s *Stack) Account(address string, quota int64) account.Account {
	s.t.Helper()
	a := s.Address(address)
	ctx := s.t.Context()
	if err := s.Directory.AddDomain(ctx, a.Domain); err != nil && !errors.Is(err, account.ErrExists) {
		s.t.Fatal(err)
	}
	acc, err := s.Directory.AddAccount(ctx, a, Password)
	if err == nil && quota > 0 {
		err = s.Directory.SetQuota(ctx, a, quota)
	}
	if err != nil {
		s.t.Fatalf("account %s: %v", address, err)
	}
	return acc
}

// Alias makes an address lead to others.
func (s *Stack) Alias(address string, targets ...string) {
	s.t.Helper()
	if err := s.Directory.SetAlias(s.t.Context(), address, targets); err != nil {
		s.t.Fatalf("alias %s: %v", address, err)
	}
}

// Relay makes a relay domain with a list of recipients.
func (s *Stack) Relay(domain string, r account.Relay, recipients ...string) {
	s.t.Helper()
	d, err := mail.ParseDomain(domain)
	if err == nil {
		err = s.Directory.AddRelayDomain(s.t.Context(), d, &r)
	}
	for _, a := range recipients {
		err = errors.Join(err, s.Directory.AddRecipient(s.t.Context(), s.Address(a)))
	}
	if err != nil {
		s.t.Fatalf("relay domain %s: %v", domain, err)
	}
}

// Inbox returns the messages in the INBOX of an account, oldest first, as
// their owner would read them.
func (s *Stack) Inbox(address string) []string {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	acc, err := s.Directory.Find(ctx, s.Address(address))
	if err != nil {
		s.t.Fatalf("account %s: %v", address, err)
	}
	view, err := s.Mailboxes.Select(ctx, acc.ID, mailbox.Inbox, true)
	if err != nil {
		s.t.Fatalf("INBOX of %s: %v", address, err)
	}
	defer view.Close()
	var out []string
	err = view.Rows(ctx, view.UIDs(mailbox.Set{{First: 1}}), mailbox.WantBody, func(r mailbox.Row) error {
		body, err := view.Open(ctx, r)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
		out = append(out, string(text))
		return errors.Join(err, body.Close())
	})
	if err != nil {
		s.t.Fatalf("messages of %s: %v", address, err)
	}
	return out
}

// Queued returns the messages of the queue.
func (s *Stack) Queued() []*queue.Message {
	s.t.Helper()
	list, err := s.Queue.List(context.WithoutCancel(s.t.Context()), queue.Filter{All: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// Events returns the history of a message as words, "accepted filed filed".
func (s *Stack) Events(ref string) string {
	s.t.Helper()
	var words []string
	for _, e := range s.Timeline(ref) {
		words = append(words, string(e.Kind))
	}
	return strings.Join(words, " ")
}

// Timeline returns the history of a message, nil if there is none.
func (s *Stack) Timeline(ref string) []event.Event {
	s.t.Helper()
	lines, err := s.History.Trace(context.WithoutCancel(s.t.Context()), ref)
	if errors.Is(err, event.ErrNoMessage) {
		return nil
	}
	if err != nil {
		s.t.Fatalf("trace %s: %v", ref, err)
	}
	return lines[0].Events
}
