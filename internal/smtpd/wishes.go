package smtpd

import (
	"fmt"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// deliverBy reads by when a message is to have been delivered (RFC 2852 §4).
func deliverBy(env *mail.Envelope, value string) *mail.Fault {
	by, err := smtp.ParseBy(value)
	if err != nil {
		return mail.Final(mail.BadArguments, "BY needs seconds and a mode, as 3600;N or 3600;R: with R there must be some left")
	}
	at := max(mail.Micros(time.Now().Add(by.In)), 1)
	env.By = mail.DeliverBy{At: at, Return: by.Return, Trace: by.Trace}
	return nil
}

// priority reads how urgent a message is (RFC 6710 §4.1).
func (s *session) priority(env *mail.Envelope, value string) *mail.Fault {
	p, err := smtp.ParsePriority(value)
	if err != nil {
		return mail.Final(mail.BadArguments, "MT-PRIORITY is a number from -9 to 9")
	}
	env.Priority = min(p, s.mostUrgent())
	return nil
}

// times are those of the parameters of MAIL that say when, as a repeat has them too.
func (s *session) times(p smtp.Path) (written string) {
	for _, param := range p.Params {
		value := param.Value
		switch param.Key {
		case "HOLDFOR", "HOLDUNTIL":
		case "BY":
			if s.door != mail.DoorSubmission { // another host counts it down in each try (RFC 2852 §4.1.4)
				_, value, _ = strings.Cut(value, ";")
			}
		default:
			continue
		}
		written += param.Key + "=" + value + " " // none holds a space
	}
	return written
}

// mostUrgent is what this peer may ask for: strangers must not overtake others.
func (s *session) mostUrgent() mail.Priority {
	if s.account.ID != 0 || s.door == mail.DoorLMTP || s.door == mail.DoorSMTP && s.srv.o.Policy.Trusted(s.peer.Addr()) {
		return s.settings().Priority
	}
	return 0
}

// requireTLS takes the wish that nobody may read along (RFC 8689 §2).
func (s *session) requireTLS(env *mail.Envelope, value string) *mail.Fault {
	switch {
	case value != "":
		return mail.Final(mail.BadArguments, "REQUIRETLS has no value")
	case s.tls == "":
		return mail.Final(mail.EncryptionRequired, "REQUIRETLS begins with TLS: use STARTTLS first")
	}
	env.RequireTLS = true
	return nil
}

// agreeable tells whether the wishes of an envelope can be granted together.
func agreeable(env mail.Envelope) *mail.Fault {
	if env.By.Over(env.Release) {
		return mail.Final(mail.BadArguments, "The message would be released when its time is over")
	}
	return nil
}

// undoable keeps a submission for as long as its sender may think better of it. One
// that has a time of its own, or no time to lose, is not kept.
func (s *session) undoable(env *mail.Envelope) {
	hold := s.settings().Hold
	at := mail.Micros(time.Now().Add(hold))
	if hold <= 0 || s.account.ID == 0 || env.Release != 0 || env.By.Over(at) {
		return
	}
	env.Release = at
}

// taken is the reply to MAIL. It tells of a priority that is not the one asked for
// (RFC 6710 §4.1).
func taken(p smtp.Path, env mail.Envelope) reply {
	for _, param := range p.Params {
		if asked, err := smtp.ParsePriority(param.Value); param.Key == "MT-PRIORITY" && err == nil && asked != env.Priority {
			return ok(250, "2.3.6", fmt.Sprintf("%d is the new priority: you may not ask for more", env.Priority))
		}
	}
	return ok(250, "2.1.0", "Sender ok")
}
