package imapd

import (
	"context"
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
	return s.logIn(ctx, sasl.Credentials{User: req.User, Password: req.Password})
}

func unsafeLogin() reply {
	return no(imap.CodePrivacy, "Use STARTTLS before you send a password")
}

func (s *session) logIn(ctx context.Context, c sasl.Credentials) reply {
	acc, err := s.srv.o.Gate.Login(ctx, account.Attempt{Door: "imap", Peer: s.peer.Addr(), User: c.User, Password: c.Password})
	switch {
	case err == nil:
		s.account = acc
		s.log.Info("logged in", "account", acc.Address.String())
		return reply{result: imap.OK, code: imap.CodeCapability(s.capabilities()...), text: "Logged in"}
	case errors.Is(err, account.ErrTooManyFailures):
		r := no(imap.CodeAuthFailed, "Too many failed logins from your address")
		r.close, r.bye = true, "Too many failed logins from your address, try again in ten minutes"
		return r
	case errors.Is(err, account.ErrCredentials):
		s.srv.o.Metrics.loginFailed()
		return no(imap.CodeAuthFailed, "The user name or password is wrong")
	}
	s.log.Error("login could not be checked", "error", err)
	return no(imap.CodeUnavailable, "Logins cannot be checked right now, try again later")
}
