package policy

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
)

// stranger decides on a sender that nobody answers for, where the settings ask for
// a domain that mail could go back to. Hosts that may relay are not strangers.
func (p *Policy) stranger(ctx context.Context, o mail.Origin, env mail.Envelope) *mail.Fault {
	d := env.From.Domain
	if o.Door != mail.DoorSMTP || env.From.IsNull() || p.o.CheckSender == nil || !p.o.CheckSender() || p.Trusted(o.Peer.Addr()) {
		return nil
	}
	if _, literal := d.Literal(); literal {
		return nil
	}
	switch target, err := p.o.Directory.Resolve(ctx, env.From); {
	case err != nil && !errors.Is(err, account.ErrExpansion):
		return mail.AsFault(err)
	case err != nil || target.Kind != account.Elsewhere:
		return nil // ours, whatever DNS says
	}
	return p.reachable(ctx, d)
}

// reachable says why no mail can go to a domain (RFC 5321 §5.1).
func (p *Policy) reachable(ctx context.Context, d mail.Domain) *mail.Fault {
	records, err := p.o.Resolver.MX(ctx, d.ASCII)
	switch {
	case err == nil:
		for _, mx := range records {
			if mx.Host != "" {
				return nil
			}
		}
		// RFC 7505 §4.2
		return mail.Final(mail.SenderNullMX, "The sender's domain "+d.ASCII+" takes no mail (null MX), so nobody could answer")
	case errors.Is(err, dnsx.ErrNoData):
		_, err = p.o.Resolver.Addrs(ctx, d.ASCII)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dnsx.ErrNotFound), errors.Is(err, dnsx.ErrNoData):
		return mail.Final(mail.SenderSystem, "The sender's domain "+d.ASCII+" does not exist in DNS: check the address you send from")
	}
	return mail.Temporary(mail.SenderSystem, "The sender's domain "+d.ASCII+" cannot be looked up for now, try again later").Because(err)
}
