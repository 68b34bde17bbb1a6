package smtpd

import (
	"context"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// rcptTo serves RCPT (RFC 5321 §4.1.1.3).
func rcptTo(ctx context.Context, s *session, arg string) reply {
	path, err := smtp.ParseRcpt(arg)
	if err != nil {
		return refuse(pathFault(err, mail.BadAddressSyntax))
	}
	r, fault := s.recipient(path)
	if fault != nil {
		return refuse(fault)
	}
	if !s.tx.env.UTF8 && path.UTF8 {
		return refuse(mail.Final(mail.UTF8AddressNeeded, "An address beyond ASCII needs SMTPUTF8"))
	}
	if s.tx.accepted > 0 {
		// Before it is looked up: the reply tells nothing of the address.
		if fault := s.srv.o.Policy.Another(s.tx.origin, s.tx.env); fault != nil {
			return s.refused("recipient", fault)
		}
	}
	// Before it is looked up as well: the rules are for addresses that are guessed, too.
	ruled, fault := s.judgeRecipient(ctx, r.Address)
	if fault == nil {
		fault = s.addRecipient(ctx, r)
	}
	if fault != nil {
		return s.refused("recipient", fault)
	}
	s.mark(ruled)
	s.tx.accepted++
	return ok(250, "2.1.5", "Recipient ok")
}

// addRecipient adds a recipient that no rule refuses, if there is one, and he may be
// written to: what a rule accepts or holds is no more than that.
func (s *session) addRecipient(ctx context.Context, r mail.Recipient) *mail.Fault {
	t := s.tx.intake
	target, fault := t.Resolve(ctx, r.Address)
	if fault == nil {
		fault = s.srv.o.Policy.Rcpt(ctx, s.tx.origin, r.Address, target)
	}
	if fault == nil {
		fault = s.tx.room.Recipient(ctx, r.Address)
	}
	if fault != nil {
		return fault
	}
	if fault = t.Add(ctx, r, target); fault != nil {
		s.tx.room.Withdraw()
	}
	return fault
}

// recipient reads the parameters of RCPT.
func (s *session) recipient(p smtp.Path) (mail.Recipient, *mail.Fault) {
	r := mail.Recipient{Address: p.Address}
	for _, param := range p.Params {
		var err error
		switch {
		case !s.extended:
			return r, unknownParameter(param.Key)
		case param.Key == "NOTIFY": // RFC 3461 §4.1
			if r.Notify, err = smtp.ParseNotify(param.Value); err != nil {
				return r, mail.Final(mail.BadArguments, "NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY")
			}
		case param.Key == "ORCPT": // RFC 3461 §4.2
			if r.ORCPT, err = smtp.ParseORCPT(param.Value); err != nil {
				return r, mail.Final(mail.BadArguments, "ORCPT is a type, a semicolon and an address in xtext")
			}
		default:
			return r, unknownParameter(param.Key)
		}
	}
	return r, nil
}

// refused counts and logs what policy or intake did not let pass.
func (s *session) refused(stage string, f *mail.Fault) reply {
	s.srv.o.Metrics.refused(stage, f)
	level := s.log.Info
	if f.Cause != nil {
		level = s.log.Error
	}
	level("refused", "stage", stage, "code", f.Code(), "status", f.Enhanced(), "reason", f.Public, "cause", f.Cause)
	return refuse(f)
}
