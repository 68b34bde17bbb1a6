package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// capabilities is what can be had now. What serves users only is told to
// strangers too, because some clients ask but once.
// RFC 3501 §7.2.1
func (s *session) capabilities(ctx context.Context) []string {
	names := []string{
		"IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "IDLE", "NAMESPACE", "SPECIAL-USE",
		"CHILDREN", "UIDPLUS", "MOVE", "UNSELECT",
	}
	if s.account.ID != 0 {
		return names
	}
	if !s.tls && s.srv.o.TLS != nil {
		names = append(names, "STARTTLS")
	}
	if !s.mayLogIn() {
		// RFC 3501 §6.2.3
		return append(names, "LOGINDISABLED")
	}
	for _, m := range s.srv.o.Gate.Mechanisms(ctx, s.attempt()) {
		names = append(names, "AUTH="+m)
	}
	return names
}

// mayLogIn tells whether a password would travel safely.
func (s *session) mayLogIn() bool { return s.tls || s.settings().AllowCleartext }

// capability serves CAPABILITY (RFC 3501 §6.1.1).
func capability(ctx context.Context, s *session, _ imap.Capability) reply {
	s.enc.Capability(s.capabilities(ctx)...)
	return ok("Done")
}
