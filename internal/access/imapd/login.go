package imapd

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/wire/imap"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// login serves LOGIN (RFC 3501 §6.2.3).
func login(ctx context.Context, s *session, req imap.Login) reply {
	if !s.mayLogIn() {
		return unsafeLogin()
	}
	a := s.attempt()
	a.User, a.Password, a.Mechanism = req.User, req.Password, "LOGIN"
	acc, err := s.srv.o.Gate.Login(ctx, a)
	if err != nil {
		return s.loginRefused(err)
	}
	return s.loggedIn(ctx, acc)
}

// attempt is a login as this session sees it.
func (s *session) attempt() account.Attempt {
	a := account.Attempt{Door: "imap", Peer: s.peer.Addr(), Failed: s.srv.o.Metrics.loginFailed}
	if t, ok := s.conn.sock.(*tls.Conn); ok {
		state := t.ConnectionState()
		a.Binding, a.Certificates = sasl.Bind(&state, s.shown), state.PeerCertificates
	}
	return a
}

func unsafeLogin() reply {
	return no(imap.CodePrivacy, "Use STARTTLS before you send a password")
}

func (s *session) loggedIn(ctx context.Context, acc account.Login) reply {
	s.account = acc
	s.log.Info("logged in", "account", acc.Address.String())
	return reply{result: imap.OK, code: imap.CodeCapability(s.capabilities(ctx)...), text: "Logged in"}
}

func (s *session) loginRefused(err error) reply {
	banned, ok := errors.AsType[*account.TooManyFailures](err)
	switch {
	case ok:
		// Not AUTHENTICATIONFAILED: clients ask for another password then.
		// RFC 5530 §3
		r := no(imap.CodeUnavailable, banned.Error())
		r.close, r.bye = true, banned.Error()
		return r
	case errors.Is(err, account.ErrCredentials):
		return no(imap.CodeAuthFailed, account.Refusal(err))
	}
	s.log.Error("login could not be checked", "error", err)
	return no(imap.CodeUnavailable, "Logins cannot be checked right now, try again later")
}

// ended tells whether the login of a session has ended while it ran, and the reply to
// that.
func (s *session) ended(ctx context.Context) (reply, bool) {
	if s.account.ID == 0 {
		return reply{}, false
	}
	err := s.srv.o.Gate.Stands(ctx, s.account)
	switch {
	case err == nil:
		return reply{}, false
	case errors.Is(err, account.ErrEnded), errors.Is(err, account.ErrNoAccount):
		s.log.Info("login ended", "account", s.account.Address.String(), "reason", err.Error())
		return hangUp(account.LoginEnded), true
	}
	return s.failed("login", err), true
}
