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
	for _, p := range path.Params {
		return refuse(unknownParameter(p.Key))
	}
	if !s.tx.env.UTF8 && path.UTF8 {
		return refuse(mail.Final(mail.UTF8AddressNeeded, "An address beyond ASCII needs SMTPUTF8"))
	}
	t := s.tx.intake
	target, fault := t.Resolve(ctx, path.Address)
	if fault == nil {
		fault = s.srv.o.Policy.Rcpt(ctx, s.tx.origin, path.Address, target)
	}
	if fault == nil {
		fault = t.Add(ctx, mail.Recipient{Address: path.Address}, target)
	}
	if fault != nil {
		return s.refused("recipient", fault)
	}
	s.tx.accepted++
	return ok(250, "2.1.5", "Recipient ok")
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
