package pop3d

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/wire/pop3"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// capa serves CAPA (RFC 2449 §5).
func capa(ctx context.Context, s *session, _ string) reply {
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
	if s.drop == nil && s.mayLogIn() {
		// RFC 2595 §4: not announced where it would be refused.
		lines = append(lines, "USER", "SASL "+strings.Join(s.srv.o.Gate.Mechanisms(ctx, s.attempt()), " "))
	}
	if s.drop == nil && !s.secured && s.srv.o.TLS != nil {
		lines = append(lines, "STLS")
	}
	return s.lines("Capabilities", append(lines, "IMPLEMENTATION Hayauma"))
}

// lines is a short multi-line response; no line begins with a dot.
func (s *session) lines(text string, lines []string) reply {
	r := ok(text)
	r.body = func(context.Context) error {
		for _, l := range lines {
			s.out = append(append(s.out, l...), "\r\n"...)
		}
		s.out = append(s.out, ".\r\n"...)
		return nil
	}
	return r
}

// mayLogIn tells whether a password may be sent on this connection.
func (s *session) mayLogIn() bool { return s.secured || s.settings().AllowCleartext }

func cleartext() reply { return refuse("", "Use STLS before you send a password") }

// user serves USER (RFC 1939 §7). Whether there is such a user is not told.
func user(_ context.Context, s *session, arg string) reply {
	if !s.mayLogIn() {
		return cleartext()
	}
	s.user = arg
	return ok("Send the password")
}

// pass serves PASS (RFC 1939 §7).
func pass(ctx context.Context, s *session, arg string) reply {
	if !s.mayLogIn() {
		return cleartext()
	}
	if s.user == "" {
		return refuse("", "Send USER first")
	}
	a := s.attempt()
	a.User, a.Password, a.Mechanism = s.user, arg, "PASS"
	s.user = ""
	acc, err := s.srv.o.Gate.Login(ctx, a)
	if err != nil {
		return s.loginRefused(err)
	}
	return s.open(ctx, acc)
}

// attempt is a login as this session sees it.
func (s *session) attempt() account.Attempt {
	a := account.Attempt{Door: "pop3", Peer: s.peer.Addr(), Failed: s.srv.o.Metrics.loginFailures.Inc}
	if t, ok := s.conn.Conn.(*tls.Conn); ok {
		state := t.ConnectionState()
		a.Binding, a.Certificates = sasl.Bind(&state, s.shown), state.PeerCertificates
	}
	return a
}

// auth serves AUTH (RFC 5034 §4).
func auth(ctx context.Context, s *session, arg string) reply {
	a, err := pop3.ParseAuth(arg)
	switch {
	case err != nil:
		return refuse("", "AUTH needs a mechanism and at most one answer")
	case !s.mayLogIn():
		return cleartext()
	case a.Mechanism == "": // what clients asked before there was CAPA
		return s.lines("Mechanisms", s.srv.o.Gate.Mechanisms(ctx, s.attempt()))
	}
	exchange, known := s.srv.o.Gate.Begin(ctx, s.attempt(), a.Mechanism)
	if !known {
		return refuse("", "This mechanism is not offered: use "+strings.Join(s.srv.o.Gate.Mechanisms(ctx, s.attempt()), " or "))
	}
	s.exchange = exchange
	if a.Initial == "" {
		return s.challenge(ctx, exchange, nil)
	}
	answer, err := sasl.Decode(a.Initial)
	if err != nil {
		return saslRefusal(err)
	}
	return s.challenge(ctx, exchange, answer)
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
	switch {
	case sasl.IsFault(err):
		return saslRefusal(err)
	case err != nil:
		return s.loginRefused(err)
	case done:
		return s.open(ctx, x.Login())
	}
	return reply{status: "+", text: sasl.Encode(challenge), then: func(ctx context.Context) reply {
		line, err := s.readLine(pop3.MaxAnswer)
		switch {
		case errors.Is(err, pop3.ErrLineTooLong):
			return saslRefusal(sasl.ErrSyntax)
		case err != nil:
			s.bye(ctx, err)
			return reply{close: true}
		}
		answer, err := sasl.Decode(string(line))
		if err != nil {
			return saslRefusal(err)
		}
		return s.challenge(ctx, x, answer)
	}}
}

func saslRefusal(err error) reply {
	switch {
	case errors.Is(err, sasl.ErrCancelled):
		return refuse("", "Login cancelled")
	case errors.Is(err, sasl.ErrAuthzid):
		return refuse(codeAuth, "Acting for another user is not offered")
	}
	return refuse("", "The answer does not follow the mechanism")
}

func (s *session) loginRefused(err error) reply {
	banned, ok := errors.AsType[*account.TooManyFailures](err)
	switch {
	case ok:
		r := refuse(codeTemporary, banned.Error()) // RFC 3206 §4
		r.close = true
		return r
	case errors.Is(err, account.ErrCredentials):
		return refuse(codeAuth, account.Refusal(err))
	}
	s.log.Error("login could not be checked", "error", err)
	return refuse(codeTemporary, "Logins cannot be checked right now, try again later")
}

// open goes over to the TRANSACTION state: it locks the maildrop and takes its
// picture.
func (s *session) open(ctx context.Context, acc account.Login) reply {
	if !s.srv.lock(acc.ID) {
		return refuse(codeInUse, "Another session has the mailbox open")
	}
	drop, err := openMaildrop(ctx, s.srv.o.Mailboxes, acc)
	if err != nil {
		s.srv.unlock(acc.ID)
		s.log.Error("the mailbox could not be opened", "account", acc.Address.String(), "error", err)
		return refuse(codeTemporary, "The mailbox cannot be opened right now, try again later")
	}
	s.drop = drop
	s.log.Info("logged in", "account", acc.Address.String(), "messages", len(drop.items))
	return ok("Logged in")
}

// ended tells whether the login of a session has ended while it ran, and the reply to
// that: what it marked stays.
func (s *session) ended(ctx context.Context) (reply, bool) {
	if s.drop == nil {
		return reply{}, false
	}
	err := s.srv.o.Gate.Stands(ctx, s.drop.account)
	switch {
	case err == nil:
		return reply{}, false
	case errors.Is(err, account.ErrEnded), errors.Is(err, account.ErrNoAccount):
		s.log.Info("login ended", "account", s.drop.account.Address.String(), "reason", err.Error())
		r := refuse(codeAuth, account.LoginEnded) // RFC 3206 §4
		r.close = true
		return r, true
	}
	s.log.Error("login could not be checked", "error", err)
	return refuse(codeTemporary, "Logins cannot be checked right now, try again later"), true
}

// stls serves STLS (RFC 2595 §4).
func stls(_ context.Context, s *session, _ string) reply {
	switch {
	case s.secured:
		return refuse("", "TLS is in use already")
	case s.srv.o.TLS == nil:
		return refuse("", "TLS is not available")
	}
	r := ok("Begin TLS")
	r.then = s.upgrade
	return r
}

// upgrade does the handshake. What the peer sent in clear behind its STLS is
// thrown away, and what it said before is forgotten.
func (s *session) upgrade(ctx context.Context) reply {
	t := tls.Server(s.conn.Conn, s.srv.o.TLS)
	if err := s.handshake(ctx, t); err != nil {
		s.log.Info("TLS handshake failed", "error", err)
		return reply{close: true}
	}
	s.conn.secure(t)
	if dropped := s.in.Reset(s.conn); dropped > 0 {
		s.log.Warn("plaintext behind STLS was thrown away", "octets", dropped)
	}
	s.user = ""
	return reply{}
}
