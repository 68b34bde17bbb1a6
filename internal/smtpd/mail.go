package smtpd

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/wire/mime"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// mailFrom serves MAIL (RFC 5321 §4.1.1.2).
func mailFrom(ctx context.Context, s *session, arg string) reply {
	path, err := smtp.ParseMail(arg)
	if err != nil {
		return refuse(pathFault(err, mail.BadSender))
	}
	env, fault := s.envelope(path)
	if fault != nil {
		return refuse(fault)
	}
	if r, ended := s.ended(ctx); ended {
		return r
	}
	s.undoable(&env)
	o := s.origin(env)
	if fault := s.srv.o.Policy.Mail(ctx, o, env); fault != nil {
		return s.refused("sender", fault)
	}
	rules, fault := s.judgeSender(ctx, o, env)
	if fault != nil {
		return s.refused("sender", fault)
	}
	room, fault := s.srv.o.Rates.Begin(ctx, rate.Sender{Account: s.account.ID, Domain: s.account.Address.Domain})
	if fault != nil {
		return s.refused("sender", fault)
	}
	s.tx = &tx{origin: o, env: env, intake: s.srv.o.Intake.Begin(o, env), left: mostOf(s.settings()), rules: rules, room: room}
	s.tx.intake.Counts(room)
	s.tx.intake.Times(s.times(path))
	if s.account.ID != 0 {
		s.tx.intake.Judge(func(ctx context.Context, h mime.Header) *mail.Fault { return s.srv.o.Policy.Header(ctx, o, h) })
	}
	return taken(path, env)
}

func pathFault(err error, address mail.Status) *mail.Fault {
	switch {
	case errors.Is(err, smtp.ErrArgument):
		return mail.Final(mail.BadArguments, "Syntax: MAIL FROM:<address>, RCPT TO:<address>")
	case errors.Is(err, smtp.ErrParam):
		return mail.Final(mail.BadArguments, "A parameter is malformed")
	}
	return mail.Final(address, "This is not a valid address")
}

// envelope reads the parameters of MAIL.
func (s *session) envelope(p smtp.Path) (mail.Envelope, *mail.Fault) {
	env := mail.Envelope{From: p.Address}
	for _, param := range p.Params {
		if !s.extended {
			return env, unknownParameter(param.Key)
		}
		if fault := s.mailParam(&env, param); fault != nil {
			return env, fault
		}
	}
	if !env.UTF8 && p.UTF8 {
		return env, mail.Final(mail.UTF8AddressNeeded, "An address beyond ASCII needs SMTPUTF8")
	}
	return env, agreeable(env)
}

func (s *session) mailParam(env *mail.Envelope, p smtp.Param) *mail.Fault {
	switch p.Key {
	case "SIZE": // RFC 1870 §6
		size, err := smtp.ParseSize(p.Value)
		if err != nil {
			return mail.Final(mail.BadArguments, "SIZE needs a number")
		}
		if size > s.settings().MessageSize {
			return mail.Final(mail.MessageTooBig, "The message is larger than we accept")
		}
		env.Size = size
	case "BODY": // RFC 6152 §2
		switch strings.ToUpper(p.Value) {
		case "7BIT":
		case "8BITMIME":
			env.EightBit = true
		default:
			return mail.Final(mail.BadArguments, "BODY is 7BIT or 8BITMIME")
		}
	case "SMTPUTF8": // RFC 6531 §3.4
		if p.Value != "" {
			return mail.Final(mail.BadArguments, "SMTPUTF8 has no value")
		}
		env.UTF8 = true
	case "RET": // RFC 3461 §4.3
		ret, err := smtp.ParseRet(p.Value)
		if err != nil {
			return mail.Final(mail.BadArguments, "RET is FULL or HDRS")
		}
		env.Ret = ret
	case "ENVID": // RFC 3461 §4.4
		id, err := smtp.ParseEnvID(p.Value)
		if err != nil {
			return mail.Final(mail.BadArguments, "ENVID needs up to 100 characters of xtext")
		}
		env.EnvID = id
	case "HOLDFOR", "HOLDUNTIL": // RFC 4865 §4
		return s.hold(env, p)
	case "BY":
		return deliverBy(env, p.Value)
	case "MT-PRIORITY":
		return s.priority(env, p.Value)
	case "REQUIRETLS":
		return s.requireTLS(env, p.Value)
	case "AUTH": // RFC 4954 §5: taken, and not believed
		if s.door != mail.DoorSubmission || p.Value == "" {
			return unknownParameter(p.Key)
		}
	default:
		return unknownParameter(p.Key)
	}
	return nil
}

// maxHold is how long a message may wait before it is sent.
const maxHold = 30 * 24 * time.Hour

// hold reads when a message is to be sent. Only our own users may say so: others
// would have us keep their mail.
func (s *session) hold(env *mail.Envelope, p smtp.Param) *mail.Fault {
	if s.door != mail.DoorSubmission {
		return unknownParameter(p.Key)
	}
	if env.Release != 0 {
		return mail.Final(mail.BadArguments, "HOLDFOR and HOLDUNTIL do not go together")
	}
	now := time.Now()
	var at time.Time
	d, err := smtp.ParseHoldFor(p.Value)
	if at = now.Add(d); p.Key == "HOLDUNTIL" {
		at, err = smtp.ParseHoldUntil(p.Value)
	}
	switch {
	case err != nil:
		return mail.Final(mail.BadArguments, "HOLDFOR needs seconds, HOLDUNTIL a time like 2030-01-31T12:00:00Z")
	case at.After(now.Add(maxHold)):
		return mail.Final(mail.BadArguments, "A message may wait for 30 days at most")
	}
	env.Release, env.Until = max(mail.Micros(at), 1), p.Key == "HOLDUNTIL" // a time that is over is now
	return nil
}

// maxKeyShown is how much of a parameter's name a reply repeats.
const maxKeyShown = 40

func unknownParameter(key string) *mail.Fault {
	if len(key) > maxKeyShown {
		key = key[:maxKeyShown] + "..."
	}
	return mail.Final(mail.UnknownParameter, "The parameter "+key+" is not known here")
}

// origin is who brings the message, as the trace will tell.
func (s *session) origin(env mail.Envelope) mail.Origin {
	return mail.Origin{
		Door: s.door, Session: s.id, Peer: s.peer, Helo: cmp.Or(s.claims.helo, s.helo), TLS: s.tls, Forwarded: s.forwardedText(),
		Tenant: s.account.Tenant, Account: s.account.ID, Login: s.account.Address,
		Protocol: s.protocol(env.UTF8),
	}
}

// protocol is the "with" of Received (RFC 3848, RFC 6531 §4.3).
func (s *session) protocol(utf8 bool) string {
	name := "ESMTP"
	switch {
	case s.door == mail.DoorLMTP:
		name = "LMTP"
	case !s.extended:
		return "SMTP"
	}
	if utf8 {
		name = "UTF8" + name[len(name)-4:] // UTF8SMTP, UTF8LMTP
	}
	if s.tls != "" {
		name += "S"
	}
	if s.account.ID != 0 {
		name += "A"
	}
	return name
}
