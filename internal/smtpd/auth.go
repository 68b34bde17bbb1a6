package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/sasl"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// auth serves AUTH (RFC 4954 §4).
func auth(ctx context.Context, s *session, arg string) reply {
	if s.account.ID != 0 {
		return refuse(mail.Final(mail.BadCommand, "You are logged in already"))
	}
	if !s.mayAuth() {
		return refuse(mail.Final(mail.EncryptionNeeded, "Use STARTTLS before you send a password"))
	}
	name, initial, _ := strings.Cut(arg, " ")
	if name == "" {
		return refuse(mail.Final(mail.BadArguments, "AUTH needs the name of a mechanism"))
	}
	exchange, known := s.srv.o.Gate.Begin(ctx, s.attempt(), name)
	if !known {
		offered := s.srv.o.Gate.Mechanisms(ctx, s.attempt())
		return refuse(mail.Final(mail.AuthMechanism, "This mechanism is not offered: use "+strings.Join(offered, " or ")))
	}
	s.exchange = exchange
	if initial = strings.TrimSpace(initial); initial == "" {
		return s.challenge(ctx, exchange, nil)
	}
	answer, err := sasl.Decode(initial)
	if err != nil {
		return saslFault(err)
	}
	return s.challenge(ctx, exchange, answer)
}

// isAuth tells whether a line, of which only the beginning is there, is an AUTH.
func (s *session) isAuth(line []byte) bool {
	const verb = "AUTH"
	word, _, _ := strings.Cut(string(line), " ")
	_, here := find(verb, s.door)
	return here && strings.EqualFold(word, verb)
}

// tooLongToLogIn refuses an answer that is longer than the longest line, alone or behind
// AUTH (RFC 4954 §4).
func tooLongToLogIn() reply {
	return refuse(mail.Final(mail.AuthTooLong, "The answer is longer than a login needs"))
}

// attempt is a login as this session sees it.
func (s *session) attempt() account.Attempt {
	a := account.Attempt{Door: s.door.String(), Peer: s.peer.Addr(), Front: s.front.Addr(), Failed: s.srv.o.Metrics.loginFailed}
	if state, own := s.channel(); own {
		a.Binding, a.Certificates = sasl.Bind(&state, s.shown), state.PeerCertificates
	}
	return a
}

// channel is the TLS between the client and us. There is none behind XCLIENT: its other
// end is the front, whose certificate says nothing of the client.
func (s *session) channel() (state tls.ConnectionState, own bool) {
	t, ok := s.conn.Conn.(*tls.Conn)
	if !ok || s.fronted {
		return tls.ConnectionState{}, false
	}
	return t.ConnectionState(), true
}

// endLogin lets go of an exchange that is over, or that the peer gave up.
func (s *session) endLogin(ctx context.Context) {
	if s.exchange != nil {
		s.exchange.End(ctx)
		s.exchange = nil
	}
}

// challenge feeds an answer to the exchange and asks on, or logs in.
func (s *session) challenge(ctx context.Context, x *account.Exchange, answer []byte) reply {
	challenge, done, err := x.Next(ctx, answer)
	if err != nil {
		return s.loginRefused(err)
	}
	if done {
		s.account = x.Login()
		s.log.Info("logged in", "account", s.account.Address.String())
		return ok(235, "2.7.0", "Logged in")
	}
	return reply{code: 334, lines: []string{sasl.Encode(challenge)}, then: func(ctx context.Context) reply {
		line, err := s.readLine()
		switch {
		case errors.Is(err, smtp.ErrLineTooLong):
			return tooLongToLogIn()
		case errors.Is(err, smtp.ErrBareLF):
			return saslFault(sasl.ErrBase64)
		case err != nil:
			return s.farewell(ctx, err)
		}
		answer, err := sasl.Decode(string(line))
		if err != nil {
			return saslFault(err)
		}
		return s.challenge(ctx, x, answer)
	}}
}

// ended tells whether the login of a session has ended while it ran, and the reply to
// that. The session ends with its password: the client is to log in with another one, and
// not to take the message for refused.
func (s *session) ended(ctx context.Context) (reply, bool) {
	if s.account.ID == 0 {
		return reply{}, false
	}
	err := s.srv.o.Gate.Stands(ctx, s.account)
	switch {
	case err == nil:
		return reply{}, false
	case errors.Is(err, account.ErrEnded):
		s.log.Info("login ended", "account", s.account.Address.String(), "reason", err.Error())
		return hangUp(account.LoginEnded), true
	case errors.Is(err, account.ErrNoAccount):
		return s.refused("sender", mail.Final(mail.NotAuthorized, "The account that you are logged in as was removed")), true
	}
	return s.refused("sender", mail.AsFault(err)), true
}

func saslFault(err error) reply {
	switch {
	case errors.Is(err, sasl.ErrCancelled):
		return refuse(mail.Final(mail.BadArguments, "Login cancelled"))
	case errors.Is(err, sasl.ErrBase64):
		return refuse(mail.Final(mail.AuthBase64, "The answer is not base64"))
	case errors.Is(err, sasl.ErrAuthzid):
		return refuse(mail.Final(mail.AuthCredentials, "Acting for another user is not offered"))
	}
	return refuse(mail.Final(mail.BadArguments, "The answer does not follow the mechanism"))
}

func (s *session) loginRefused(err error) reply {
	banned, ok := errors.AsType[*account.TooManyFailures](err)
	switch {
	case sasl.IsFault(err):
		return saslFault(err)
	case ok:
		return reply{code: 421, enhanced: "4.7.0", lines: []string{banned.Error()}, close: true}
	case errors.Is(err, account.ErrCredentials):
		return refuse(mail.Final(mail.AuthCredentials, account.Refusal(err)))
	}
	s.log.Error("login could not be checked", "error", err)
	return refuse(mail.Temporary(mail.AuthTemporary, "Logins cannot be checked right now, try again later"))
}
