package smtpd

import (
	"context"
	"crypto/tls"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/socket"
)

// starttls serves STARTTLS (RFC 3207 §4). It may come before EHLO, as some clients
// have it: nothing that was said before counts anyway.
func starttls(_ context.Context, s *session, arg string) reply {
	switch {
	case arg != "":
		return refuse(mail.Final(mail.BadArguments, "STARTTLS has no argument"))
	case s.tls != "":
		return refuse(mail.Final(mail.BadCommand, "TLS is in use already"))
	case s.srv.o.TLS == nil:
		return refuse(mail.Temporary(mail.CryptoFailure, "TLS is not available"))
	}
	return reply{code: 220, enhanced: "2.0.0", lines: []string{"Begin TLS"}, then: s.upgrade}
}

// upgrade does the handshake. What the peer sent in clear behind its STARTTLS
// is thrown away, and what it said before is forgotten (RFC 3207 §4.2).
func (s *session) upgrade(ctx context.Context) reply {
	t := tls.Server(&socket.Records{Conn: s.conn.Conn}, s.srv.o.TLS)
	if err := s.handshake(ctx, t); err != nil {
		s.log.Info("TLS handshake failed", "error", err)
		return reply{close: true}
	}
	s.conn.secure(t)
	if dropped := s.in.Reset(s.conn); dropped > 0 {
		s.log.Warn("plaintext behind STARTTLS was thrown away", "octets", dropped)
	}
	s.drop()
	s.helo, s.extended, s.account = "", false, account.Login{}
	return reply{}
}
