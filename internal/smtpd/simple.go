package smtpd

import (
	"context"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
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
func vrfy(ctx context.Context, s *session, arg string) reply {
	if arg == "" {
		return refuse(mail.Final(mail.BadArguments, "VRFY needs an address"))
	}
	if s.settings().Verify {
		return s.verify(ctx, arg)
	}
	return ok(252, "2.5.0", "Cannot verify, but will take the message and try")
}

// verify tells where an address leads (RFC 5321 §3.5).
func (s *session) verify(ctx context.Context, arg string) reply {
	const parameter = " SMTPUTF8" // RFC 6531 §3.7.4.2
	if at := len(arg) - len(parameter); at > 0 && strings.EqualFold(arg[at:], parameter) {
		arg = strings.TrimRight(arg[:at], " ")
	}
	name := strings.Trim(arg, "<>")
	a, err := mail.ParseAddress(name)
	switch {
	case mail.IsPostmaster(name):
		a = mail.Address{Local: mail.Postmaster}
	case name != "" && !strings.Contains(name, "@"): // a user's name alone (RFC 5321 §3.5.1)
		return ok(252, "2.5.0", "Cannot verify a name alone, give the whole address")
	case err != nil:
		return refuse(mail.Final(mail.BadAddressSyntax, "This is not a valid address"))
	}
	target, fault := s.srv.o.Intake.Resolve(ctx, a)
	switch {
	case fault != nil:
		return refuse(fault)
	case !a.IsASCII(): // our replies are ASCII
		return ok(252, "2.5.0", "Cannot verify an address beyond ASCII, but will take the message and try")
	case target.Kind == account.Here:
		return reply{code: 250, enhanced: "2.1.5", lines: []string{"<" + a.ASCII() + ">"}}
	case target.Kind == account.Unknown:
		return refuse(mail.Final(mail.NoSuchMailbox, "There is no such mailbox here"))
	case target.Kind == account.Onward:
		return ok(252, "2.5.0", "Cannot verify, but will take the message and pass it on")
	}
	return ok(252, "2.5.0", "Not ours: cannot verify")
}

// help serves HELP (RFC 5321 §4.1.1.8).
func help(_ context.Context, s *session, _ string) reply {
	return ok(214, "2.0.0", "Commands: "+strings.Join(s.srv.verbs[s.door], " "))
}
