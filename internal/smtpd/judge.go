package smtpd

import (
	"context"

	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

// judgeSender asks the operator's rules about who brings a message.
func (s *session) judgeSender(ctx context.Context, o mail.Origin, env mail.Envelope) (*rule.Case, *mail.Fault) {
	f := rule.FactsOf(o, env)
	if state, own := s.channel(); own {
		f.Certificate = rule.CertificateOf(&state, s.srv.o.Gate.Vouched(state.PeerCertificates))
	}
	switch {
	case s.claims.name != "": // the front has looked it up
		f.Reverse = func(context.Context) (string, error) { return s.claims.name, nil }
	case s.srv.o.Reverse != nil && s.peer.IsValid():
		f.Reverse = func(ctx context.Context) (string, error) { return s.srv.o.Reverse(ctx, s.peer.Addr()) }
	}
	c, err := s.srv.o.Rules.Open(ctx, f)
	if err != nil {
		return nil, mail.AsFault(err)
	}
	d, err := c.Mail(ctx)
	if err != nil {
		return nil, mail.AsFault(err)
	}
	return c, s.obey(ctx, d)
}

// judgeRecipient asks them about a recipient.
func (s *session) judgeRecipient(ctx context.Context, a mail.Address) (rule.Decision, *mail.Fault) {
	d, err := s.tx.rules.Rcpt(ctx, a)
	if err != nil {
		return d, mail.AsFault(err)
	}
	return d, s.obey(ctx, d)
}

// mark does to the message what the rules want for a recipient that was taken.
func (s *session) mark(d rule.Decision) {
	s.tx.intake.Tag(d.Tags...)
	if d.Action == rule.Quarantine {
		s.tx.intake.Quarantine()
		s.tx.intake.Tag(intake.QuarantineTag + d.Rule)
	}
}

// obey waits as long as the rules want, and refuses what they refuse.
func (s *session) obey(ctx context.Context, d rule.Decision) *mail.Fault {
	if d.Action != "" || d.Delay > 0 {
		s.log.Info("access rule", "rule", d.Rule, "action", string(d.Action), "why", d.Why, "delay", d.Delay)
	}
	if d.Delay > 0 {
		pause(ctx, d.Delay)
	}
	return d.Fault()
}
