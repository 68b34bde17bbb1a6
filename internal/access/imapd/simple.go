package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// noop serves NOOP (RFC 3501 §6.1.2).
func noop(context.Context, *session, imap.Noop) reply { return ok("Done") }

// check serves CHECK (RFC 3501 §6.4.1). All that was answered is durable.
func check(context.Context, *session, imap.Check) reply { return ok("Done") }

// logout serves LOGOUT (RFC 3501 §6.1.3).
func logout(_ context.Context, s *session, _ imap.Logout) reply {
	s.enc.Untagged(imap.Bye, "", "Until next time")
	return reply{result: imap.OK, text: "Logged out", close: true}
}

// namespace serves NAMESPACE (RFC 2342 §5): all mailboxes are one's own.
func namespace(_ context.Context, s *session, _ imap.Namespace) reply {
	s.enc.Namespace(imap.NamespacePrefixes{Personal: []string{""}})
	return ok("Done")
}

// identify serves ID (RFC 2971 §3.1).
func identify(_ context.Context, s *session, req imap.ID) reply {
	for _, f := range req.Fields {
		s.log.Debug("client told of itself", "field", f.Name, "value", f.Value)
	}
	s.enc.ID([]imap.IDField{{Name: "name", Value: "Hayauma"}})
	return ok("Done")
}
