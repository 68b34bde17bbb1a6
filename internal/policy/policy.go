// Package policy holds the ordered checks that a sender and each recipient must
// pass before intake may take a message.
package policy

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/callahead"
)

// Options are what the checks ask. The functions are asked anew each time, so
// that a reload of the settings takes effect at once.
type Options struct {
	Directory *account.Directory
	// RelayNetworks are the hosts that may relay without a login.
	RelayNetworks func() []netip.Prefix
	// CheckSender tells whether the domain of a stranger's sender must exist. nil =
	// it need not.
	CheckSender func() bool
	Resolver    *dnsx.Resolver
	// CheckFrom tells whether From and Sender of a submission must belong to its
	// login. nil = they need not.
	CheckFrom func() bool
	// Ahead asks the hosts of relay domains who is there.
	Ahead *callahead.Book
}

// Policy decides. It may be used by many goroutines.
type Policy struct{ o Options }

// New returns the checks.
func New(o Options) *Policy { return &Policy{o: o} }

// Mail decides on the sender: on the submission ports it must belong to the
// login (RFC 6409 §6.1). The null path is for every login: read receipts use
// it. Whether the login still stands was asked before.
func (p *Policy) Mail(ctx context.Context, o mail.Origin, env mail.Envelope) *mail.Fault {
	if o.Account == 0 {
		return p.stranger(ctx, o, env)
	}
	if env.From.IsNull() {
		return nil
	}
	may, err := p.o.Directory.MaySendAs(ctx, account.Account{ID: o.Account, Address: o.Login}, env.From)
	if err != nil {
		return mail.AsFault(err)
	}
	if !may {
		return mail.Final(mail.NotAuthorized, fmt.Sprintf("You are logged in as %s, which may not send as this address", o.Login.ASCII()))
	}
	return nil
}

// Rcpt decides on a recipient: nobody relays for strangers.
func (p *Policy) Rcpt(ctx context.Context, o mail.Origin, a mail.Address, t account.Target) *mail.Fault {
	switch t.Kind {
	case account.Here:
		return nil
	case account.Onward:
		return p.onward(ctx, o, a, t)
	case account.Unknown:
		return mail.Final(mail.NoSuchMailbox, "There is no such mailbox here")
	}
	if p.mayRelay(o) {
		return nil
	}
	return mail.Final(mail.NotAuthorized, "We do not relay for strangers: log in on a submission port to send mail elsewhere")
}

// onward decides on a recipient of a relay domain. Who may relay needs no question: a
// report would go to somebody who is known.
func (p *Policy) onward(ctx context.Context, o mail.Origin, a mail.Address, t account.Target) *mail.Fault {
	if !t.Ask || p.mayRelay(o) {
		return nil
	}
	return p.o.Ahead.Check(ctx, a)
}

// Another decides whether a message goes to one more recipient. One without a
// sender is a report to the sender of another (RFC 5321 §6.1), and goes to one;
// strangers who send it to many look for addresses, or for readers, and want no
// answer. Who has a reason, as mail with NOTIFY=NEVER may (RFC 3461 §5.2), is
// told to come with the rest in other transactions.
func (p *Policy) Another(o mail.Origin, env mail.Envelope) *mail.Fault {
	if !env.From.IsNull() || o.Door != mail.DoorSMTP || p.mayRelay(o) {
		return nil
	}
	return mail.Temporary(mail.TooManyRecipients, "A message without a sender goes to one recipient: send the rest in other transactions")
}

func (p *Policy) mayRelay(o mail.Origin) bool {
	if o.Account != 0 || o.Door == mail.DoorCommand || o.Door == mail.DoorBounce {
		return true
	}
	return o.Door == mail.DoorSMTP && p.Trusted(o.Peer.Addr())
}

// Trusted tells whether a host may relay without a login.
func (p *Policy) Trusted(a netip.Addr) bool {
	a = a.Unmap().WithZone("") // networks have none
	for _, n := range p.o.RelayNetworks() {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
