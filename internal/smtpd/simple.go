package smtpd

import (
	"context"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
)

// rset serves RSET (RFC 5321 §4.1.1.5).
func rset(_ context.Context, s *session, arg string) reply {
	if arg != "" {
		return refuse(mail.Final(mail.BadArguments, "RSET has no argument"))
	}
	s.drop()
	return ok(250, "2.0.0", "Reset")
}

// noop serves NOOP (RFC 5321 §4.1.1.9).
func noop(context.Context, *session, string) reply { return ok(250, "2.0.0", "Ok") }

// quit serves QUIT (RFC 5321 §4.1.1.10).
func quit(_ context.Context, s *session, arg string) reply {
	if arg != "" {
		return refuse(mail.Final(mail.BadArguments, "QUIT has no argument"))
	}
	return reply{code: 221, enhanced: "2.0.0", lines: []string{"Bye"}, close: true}
}

// vrfy serves VRFY: RFC 5321 §7.3 lets us keep our users to ourselves.
func vrfy(_ context.Context, _ *session, arg string) reply {
	if arg == "" {
		return refuse(mail.Final(mail.BadArguments, "VRFY needs an address"))
	}
	return ok(252, "2.5.0", "Cannot verify, but will take the message and try")
}

// help serves HELP (RFC 5321 §4.1.1.8).
func help(_ context.Context, s *session, _ string) reply {
	return ok(214, "2.0.0", "Commands: "+strings.Join(s.srv.verbs[s.door], " "))
}
