// Package rule holds the ordered rules that an operator writes on who may bring
// mail.
//
// The rules are asked from the first to the last. One whose conditions all hold
// matches: Tag and Tarpit add something and the next rule is asked; Accept,
// Reject, Defer and Quarantine decide, and no later rule is asked. Where no rule
// decides, mail goes on as if there were none. Accept passes over the rules
// behind it and over nothing else: it lets nobody relay.
package rule

import (
	"errors"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
)

// Action is what a rule does where it matches.
type Action string

// The actions. Those before Tarpit decide.
const (
	Accept     Action = "accept"     // no later rule is asked
	Reject     Action = "reject"     // 550 5.7.1: for good
	Defer      Action = "defer"      // 450 4.7.1: the peer comes again
	Quarantine Action = "quarantine" // it is taken, and held for the operator
	Tarpit     Action = "tarpit"     // the reply waits, then the next rule is asked
	Tag        Action = "tag"        // the message gets a word, then the next rule is asked
)

// Actions lists them in the order in which they are explained.
func Actions() []Action { return []Action{Accept, Reject, Defer, Quarantine, Tarpit, Tag} }

// decides tells whether no later rule is asked.
func (a Action) decides() bool { return a != Tarpit && a != Tag }

// Rule is one rule as the operator wrote it.
type Rule struct {
	ID         mail.ID    `json:"id"`
	Position   int        `json:"position"` // from 1
	Name       string     `json:"name"`
	Off        bool       `json:"off,omitempty"` // kept, but not asked
	Action     Action     `json:"action"`
	Text       string     `json:"text,omitempty"`  // of Reject and Defer, for the peer
	Tag        string     `json:"tag,omitempty"`   // of Tag
	Delay      int        `json:"delay,omitempty"` // of Tarpit, in seconds
	Conditions Conditions `json:"conditions"`
}

// Conditions are when a rule matches: all that are given must hold, each by one
// of its values. See Kinds for what a value may be.
type Conditions struct {
	Doors        []string `json:"door,omitempty"`
	Networks     []string `json:"network,omitempty"`
	Logins       []string `json:"login,omitempty"`
	Certificates []string `json:"certificate,omitempty"`
	Helo         []string `json:"helo,omitempty"`
	Senders      []string `json:"from,omitempty"`
	Recipients   []string `json:"to,omitempty"`
	Reverse      []string `json:"reverse,omitempty"`
}

// String is the conditions for people: "network 10.0.0.0/8; from @a.test, @b.test".
func (c Conditions) String() string {
	var parts []string
	for _, k := range Kinds() {
		if values := *k.Values(&c); len(values) > 0 {
			parts = append(parts, k.Name+" "+strings.Join(values, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// The bounds of a list of rules. A peer waits five minutes for the answer to
// MAIL or RCPT (RFC 5321 §4.5.3.2); a reply line has 512 octets
// (RFC 5321 §4.5.3.1.5).
const (
	maxRules   = 1000
	maxValues  = 1000 // of one condition
	maxName    = 64
	maxText    = 400
	maxDelay   = 60  // seconds, of one rule
	maxDelays  = 120 // seconds, of all rules together
	maxPattern = 320
)

// Errors for people: each says what is wrong; callers add which name.
var (
	ErrNoRule = errors.New("there is no such rule: 'hayauma policy list' shows those that are")
	ErrExists = errors.New("a rule of this name exists already")
	ErrMany   = errors.New("there are 1000 rules already: remove some, or give one rule several values")
	ErrPlace  = errors.New("say one place only: before another rule, or a number from 1")
)
