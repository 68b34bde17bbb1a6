package rule

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// Decision is what the rules say, at MAIL or for one recipient.
type Decision struct {
	Action Action // Accept, Reject, Defer, Quarantine; empty = no rule decides
	Rule   string // the name of the one that decides
	Text   string // for the peer, of Reject and Defer
	Why    string // for the log: what made the rule match
	// Tags are the words that the message gets. Those of MAIL come again with
	// each recipient, so that the tags of a message are those of the recipients
	// that were taken, each once.
	Tags []string
	// Delay is how long the reply has to wait. What MAIL said does not come
	// again.
	Delay time.Duration
}

// What a peer is told where the operator wrote nothing.
const (
	rejectText = "This mail is not accepted here"
	deferText  = "This mail is not accepted at the moment, please try again later"
)

// Fault is what the peer is told, nil unless the action is Reject or Defer.
func (d Decision) Fault() *mail.Fault {
	switch d.Action {
	case Reject:
		return mail.Final(mail.NotAuthorized, d.Text)
	case Defer:
		return mail.Temporary(mail.NotAuthorized, d.Text)
	}
	return nil
}

// Case is one transaction before the rules, from MAIL to its last recipient. It
// keeps the rules as they were at its beginning. One goroutine uses it.
type Case struct {
	rules   []*compiled
	seen    *seen            // nil without rules
	delayed map[mail.ID]bool // the rules whose delay was given out
	// standsFor is that of the options; nil = each address stands for itself.
	standsFor func(context.Context, mail.Address) (mail.Address, error)
}

func (s *Store) newCase(rules []*compiled, f Facts) *Case {
	if len(rules) == 0 { // as on most servers: nothing is compared
		return &Case{}
	}
	sees := see(f)
	return &Case{rules: rules, seen: &sees, delayed: map[mail.ID]bool{}, standsFor: s.o.StandsFor}
}

// Mail judges the sender. Rules on the recipient are left for Rcpt; behind one
// that would decide, so are all others: the order is kept for each recipient.
// An error is temporary: what a rule depends on could not be found out.
func (c *Case) Mail(ctx context.Context) (Decision, error) {
	if len(c.rules) == 0 {
		return Decision{}, nil
	}
	c.seen.recipient, c.seen.meant = nil, nil
	return c.walk(ctx)
}

// Rcpt judges a recipient by all rules from the first on, so that what Mail
// decided is decided again. A postmaster is judged by the address that he has as well,
// however he is written. An error is temporary.
func (c *Case) Rcpt(ctx context.Context, a mail.Address) (Decision, error) {
	if len(c.rules) == 0 {
		return Decision{}, nil
	}
	m := mailboxOf(a)
	c.seen.recipient, c.seen.meant = &m, nil
	if mail.IsPostmaster(a.Local) && c.standsFor != nil {
		meant, err := c.standsFor(ctx, a)
		if err != nil {
			return Decision{}, err
		}
		if meant != a {
			m := mailboxOf(meant)
			c.seen.meant = &m
		}
	}
	return c.walk(ctx)
}

func (c *Case) walk(ctx context.Context) (d Decision, err error) {
	for _, r := range c.rules {
		if r.Off {
			continue
		}
		v, _, err := r.judge(ctx, c.seen)
		decides := r.Action.decides()
		switch {
		case err != nil && decides:
			// It must not be passed over, for it may be an exception to a refusal
			// below. A tag or a delay is not worth a refusal.
			return Decision{}, fmt.Errorf("access rule %s: %w", r.Name, err)
		case v == waits && decides:
			return d, nil
		case v == holds && decides:
			c.decide(&d, r)
			return d, nil
		case v == holds:
			c.add(&d, r)
		}
	}
	return d, nil
}

func (c *Case) decide(d *Decision, r *compiled) {
	d.Action, d.Rule, d.Text, d.Why = r.Action, r.Name, r.text(), r.why(c.seen)
}

func (r *compiled) text() string {
	switch {
	case r.Text != "":
		return r.Text
	case r.Action == Reject:
		return rejectText
	case r.Action == Defer:
		return deferText
	}
	return ""
}

// add takes the tag or the delay of a rule. A rule delays a transaction once,
// one on the recipient each recipient that matches.
func (c *Case) add(d *Decision, r *compiled) {
	if r.Action == Tag {
		if !slices.Contains(d.Tags, r.Tag) {
			d.Tags = append(d.Tags, r.Tag)
		}
		return
	}
	if !r.perRecipient() {
		if c.delayed[r.ID] {
			return
		}
		c.delayed[r.ID] = true
	}
	d.Delay = min(d.Delay+time.Duration(r.Delay)*time.Second, maxDelays*time.Second)
}
