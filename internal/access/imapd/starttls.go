package imapd

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// starttls serves STARTTLS (RFC 3501 §6.2.1). What the peer sent in clear
// behind it is thrown away.
func starttls(_ context.Context, s *session, _ imap.StartTLS) reply {
	switch {
	case s.tls:
		return bad("TLS is in use already")
	case s.srv.o.TLS == nil:
		return bad("TLS is not offered")
	}
	r := ok("Begin TLS now")
	r.then = s.upgrade
	return r
}

// upgrade does the handshake.
func (s *session) upgrade(ctx context.Context) error {
	if err := s.enc.Flush(); err != nil {
		return err
	}
	raw := s.conn.sock
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return err
	}
	t := tls.Server(raw, s.srv.o.TLS)
	if err := s.handshake(ctx, t); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	s.conn.secure(t)
	if dropped := s.in.Buffered(); dropped > 0 {
		s.log.Warn("plaintext behind STARTTLS was thrown away", "octets", dropped)
	}
	s.in.Reset(s)
	return nil
}
