package rule

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/hayauma/hayauma/internal/mail"
)

// none is the value that stands for nothing: the null sender, nobody logged in,
// no name, no certificate.
const none = "<>"

// matcher tells whether one value of a condition holds.
type matcher func(*seen) bool

// Kind is one kind of condition.
type Kind struct {
	Name   string // of the flag and of the field
	Help   string
	Values func(*Conditions) *[]string

	parse func(string) (matcher, error)
	fact  func(*seen) string // what its values are compared with
	// A recipient is not known before RCPT, a reverse name not before it was
	// looked up.
	recipient, lookUp bool
}

// Kinds lists the kinds of conditions, cheap ones first.
func Kinds() []Kind {
	return []Kind{
		{Name: "door", Help: "smtp, submission or lmtp",
			Values: func(c *Conditions) *[]string { return &c.Doors },
			parse:  parseDoor, fact: func(s *seen) string { return s.facts.Door.String() }},
		{Name: "network", Help: "the peer's address, or a network of it like 192.0.2.0/24",
			Values: func(c *Conditions) *[]string { return &c.Networks },
			parse:  parseNetwork, fact: (*seen).peerText},
		{Name: "login", Help: "who is logged in, like user@example.org; <> = nobody",
			Values: func(c *Conditions) *[]string { return &c.Logins },
			parse:  mailboxes(func(s *seen) *mailbox { return &s.login }), fact: func(s *seen) string { return s.login.String() }},
		{Name: "certificate", Help: "of the TLS client: SHA-256 fingerprint, or common name if a CA vouches for it; <> = none",
			Values: func(c *Conditions) *[]string { return &c.Certificates },
			parse:  parseCertificate, fact: func(s *seen) string { return s.facts.Certificate.String() }},
		{Name: "helo", Help: "how the peer names itself, like mx.example.org, .example.org or *dsl*; <> = not at all",
			Values: func(c *Conditions) *[]string { return &c.Helo },
			parse:  names(func(s *seen) string { return s.helo }), fact: func(s *seen) string { return s.facts.Helo }},
		{Name: "from", Help: "the sender, like user@example.org, @example.org or @.example.org; <> = the null sender",
			Values: func(c *Conditions) *[]string { return &c.Senders },
			parse:  mailboxes(func(s *seen) *mailbox { return &s.sender }), fact: func(s *seen) string { return s.sender.String() }},
		{Name: "to", Help: "the recipient, like --from; judged for each recipient alone",
			Values: func(c *Conditions) *[]string { return &c.Recipients }, recipient: true,
			parse: parseRecipient, fact: (*seen).recipientText},
		{Name: "reverse", Help: "the name in DNS of the peer's address, like --helo; <> = it has none",
			Values: func(c *Conditions) *[]string { return &c.Reverse }, lookUp: true,
			parse: names(func(s *seen) string { return s.reverse }), fact: func(s *seen) string { return s.reverse }},
	}
}

// names makes the parser of a condition on a host name.
func names(fact func(*seen) string) func(string) (matcher, error) {
	return func(value string) (matcher, error) {
		p, err := parseName(value)
		return func(s *seen) bool { return p.match(fact(s)) }, err
	}
}

// mailboxes makes the parser of a condition on an address.
func mailboxes(fact func(*seen) *mailbox) func(string) (matcher, error) {
	return func(value string) (matcher, error) {
		p, err := parseMailbox(value)
		return func(s *seen) bool { return p.match(fact(s)) }, err
	}
}

func parseRecipient(value string) (matcher, error) {
	p, err := parseMailbox(value)
	return func(s *seen) bool { return p.match(s.recipient) || s.meant != nil && p.match(s.meant) }, err
}

var errDoor = errors.New("use smtp, submission or lmtp")

// ParseDoor reads the name of a door that rules can be about. Reports of ours
// come by none of these.
func ParseDoor(name string) (mail.Door, error) {
	for _, d := range []mail.Door{mail.DoorSMTP, mail.DoorSubmission, mail.DoorLMTP} {
		if d.String() == name {
			return d, nil
		}
	}
	return 0, errDoor
}

func parseDoor(value string) (matcher, error) {
	d, err := ParseDoor(value)
	return func(s *seen) bool { return s.facts.Door == d }, err
}

var errNetwork = errors.New("use a network like 192.0.2.0/24 or 2001:db8::/32, or a single address")

func parseNetwork(value string) (matcher, error) {
	p, err := netip.ParsePrefix(value)
	if a, aerr := netip.ParseAddr(value); aerr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return nil, errNetwork
	}
	if p.Addr().Is4In6() {
		return nil, fmt.Errorf("write the IPv4 address alone: %w", errNetwork)
	}
	return func(s *seen) bool { return p.Contains(s.peer) }, nil
}
