package route

import (
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
)

// What says what a rule looks at.
type What string

// What rules look at. Of several that hold for a recipient the first of this order
// decides.
const (
	Recipient What = "recipient" // the domain of the recipient; *.example.org = all below it
	Account   What = "account"   // whose login brought the message, by its id
	Sender    What = "sender"    // the domain of the envelope sender
	Tenant    What = "tenant"    // whose the message is, by its id
	Everyone  What = "everyone"  // any message; without a value
)

// Rule sends what it holds for by a route.
type Rule struct {
	What  What   `json:"what"`
	Value string `json:"value,omitempty"`
	Route string `json:"route"` // or Direct
}

// key is what a rule holds for: there is one rule at most for each.
type key struct {
	what  What
	value string
}

func (r Rule) key() key { return key{r.What, r.Value} }

// String tells what a rule holds for.
func (r Rule) String() string {
	switch r.What {
	case Recipient:
		if parent, ok := strings.CutPrefix(r.Value, "*."); ok {
			return "mail for all domains below " + parent
		}
		return "mail for " + r.Value
	case Sender:
		return "mail from senders of " + r.Value
	case Account, Tenant:
		return "mail of the " + string(r.What) + " " + r.Value
	}
	return "all other mail"
}

// normal checks a rule and returns it as it is kept.
func (r Rule) normal() (Rule, error) {
	switch r.What {
	case Recipient, Sender:
		name, below := r.Value, ""
		if rest, ok := strings.CutPrefix(name, "*."); ok && r.What == Recipient {
			name, below = rest, "*."
		}
		d, err := mail.ParseDomain(name)
		if err != nil {
			return r, fmt.Errorf("%q: %w; write it like example.org, or *.example.org for the domains of recipients below one", r.Value, err)
		}
		r.Value = below + d.ASCII
	case Account, Tenant:
		id, err := mail.ParseID(r.Value)
		if err != nil {
			return r, fmt.Errorf("%q is no id: %w", r.Value, err)
		}
		r.Value = id.String()
	case Everyone:
		if r.Value != "" {
			return r, fmt.Errorf("a rule for everyone has no value")
		}
	default:
		return r, fmt.Errorf("a rule cannot look at %q: use recipient, account, sender, tenant or everyone", string(r.What))
	}
	return r, nil
}

// Question is who sends to whom.
type Question struct {
	To      mail.Domain
	Account mail.ID     // zero = nobody logged in
	From    mail.Domain // of the envelope sender; zero = the null path
	Tenant  mail.ID
	// Relay says that To is a relay domain of ours, whose way on is known: only a rule
	// for the domain itself sends its mail another way.
	Relay bool
}

// choose returns the rule that decides, false if there is none.
func (t *table) choose(q Question) (Rule, bool) {
	if len(t.rules) == 0 {
		return Rule{}, false
	}
	try := func(what What, value string) (Rule, bool) {
		if value == "" && what != Everyone {
			return Rule{}, false
		}
		name, ok := t.rules[key{what, value}]
		return Rule{what, value, name}, ok
	}
	if r, ok := try(Recipient, q.To.ASCII); ok {
		return r, true
	}
	for parent := below(q.To.ASCII); parent != ""; parent = below(parent) {
		if r, ok := try(Recipient, "*."+parent); ok {
			return r, true
		}
	}
	if q.Relay {
		return Rule{}, false
	}
	for _, k := range []key{{Account, id(q.Account)}, {Sender, q.From.ASCII}, {Tenant, id(q.Tenant)}, {Everyone, ""}} {
		if r, ok := try(k.what, k.value); ok {
			return r, true
		}
	}
	return Rule{}, false
}

// below is the domain that a domain is directly below of, "" at the top.
func below(domain string) string {
	_, parent, _ := strings.Cut(domain, ".")
	if strings.HasPrefix(domain, "[") {
		return ""
	}
	return parent
}

func id(id mail.ID) string {
	if id == 0 {
		return ""
	}
	return id.String()
}
