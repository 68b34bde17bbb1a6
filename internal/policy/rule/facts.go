package rule

import (
	"context"
	"net/netip"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
)

// Facts are what is known of who brings a message.
type Facts struct {
	Peer        netip.Addr // zero for unix sockets
	Door        mail.Door
	Helo        string // as the peer named itself
	Certificate Certificate
	Login       mail.Address // zero = nobody
	Sender      mail.Address // zero = the null reverse-path
	// Reverse looks up the name of Peer in DNS. It gives only one that leads back
	// to Peer, since anybody can write any name; empty = there is none. It is
	// asked at most once, and only if a rule depends on it. nil = there is none.
	Reverse func(context.Context) (string, error)
}

// FactsOf returns the facts that stand in the origin and the envelope of a
// message; Certificate and Reverse are to be added.
func FactsOf(o mail.Origin, env mail.Envelope) Facts {
	return Facts{Peer: o.Peer.Addr(), Door: o.Door, Helo: o.Helo, Login: o.Login, Sender: env.From}
}

// mailbox is an address as patterns see it.
type mailbox struct {
	mail.Address
	local, domain string
}

func mailboxOf(a mail.Address) mailbox {
	return mailbox{Address: a, local: foldLocal(a.Local), domain: strings.ToLower(a.Domain.ASCII)}
}

// seen is facts in the form in which conditions compare them.
type seen struct {
	facts         Facts
	peer          netip.Addr
	helo          string
	login, sender mailbox
	recipient     *mailbox // nil before RCPT
	meant         *mailbox // what it stands for; nil = for itself

	looked  bool // what follows is known
	reverse string
	failed  error
}

func see(f Facts) seen {
	return seen{
		facts: f, peer: f.Peer.Unmap().WithZone(""), helo: foldName(f.Helo),
		login: mailboxOf(f.Login), sender: mailboxOf(f.Sender),
	}
}

func (s *seen) peerText() string {
	if !s.peer.IsValid() {
		return ""
	}
	return s.peer.String()
}

func (s *seen) recipientText() string {
	if s.meant != nil {
		return s.recipient.String() + " (" + s.meant.String() + ")"
	}
	return s.recipient.String()
}

// lookUp finds the reverse name. Its error stays: a peer with a hundred
// recipients is not looked up a hundred times.
func (s *seen) lookUp(ctx context.Context) error {
	if !s.looked && s.facts.Reverse != nil {
		var name string
		name, s.failed = s.facts.Reverse(ctx)
		s.reverse = foldName(name)
	}
	s.looked = true
	return s.failed
}
