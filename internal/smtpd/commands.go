package smtpd

import (
	"context"

	"github.com/hayauma/hayauma/internal/mail"
)

// need is what must be true before a command may run; doc and test in one.
type need uint8

const (
	greeted need = 1 << iota // HELO, EHLO or LHLO was heard
	authed                   // on submission ports: logged in
	inTx                     // MAIL was accepted
	noTx                     // no MAIL is open
	hasRcpt                  // at least one RCPT was accepted
	noChunk                  // no BDAT has come (RFC 3030 §2)
)

// doors says where a command exists.
type doors uint8

const (
	onSMTP doors = 1 << iota
	onSubmission
	onLMTP
	everywhere = onSMTP | onSubmission | onLMTP
)

// command is one row of the table. All 503 and 530 replies come from here.
type command struct {
	verb  string
	doors doors
	needs need
	junk  bool // brings no message nearer, even where it succeeds
	run   func(ctx context.Context, s *session, arg string) reply
}

// commands is every command that we know. BDAT asks for its needs itself, once it
// knows how many octets come behind it.
var commands = []command{
	{"EHLO", onSMTP | onSubmission, 0, true, ehlo},
	{"HELO", onSMTP | onSubmission, 0, true, helo},
	{"XCLIENT", everywhere, noTx, false, xclient},
	{"XFORWARD", everywhere, greeted | noTx, false, xforward},
	{"LHLO", onLMTP, 0, true, ehlo},
	{"MAIL", everywhere, greeted | authed | noTx, false, mailFrom},
	{"RCPT", everywhere, greeted | authed | inTx | noChunk, false, rcptTo},
	{"DATA", everywhere, greeted | authed | inTx | hasRcpt | noChunk, false, data},
	{"BDAT", everywhere, 0, false, bdat},
	{"RSET", everywhere, 0, true, rset},
	{"NOOP", everywhere, 0, true, noop},
	{"QUIT", everywhere, 0, false, quit},
	{"VRFY", everywhere, 0, true, vrfy},
	{"HELP", everywhere, 0, true, help},
	{"STARTTLS", everywhere, noTx, false, starttls},
	{"AUTH", onSubmission, greeted | noTx, false, auth},
}

// at is the bit of a door.
func at(d mail.Door) doors {
	switch d {
	case mail.DoorSMTP:
		return onSMTP
	case mail.DoorSubmission:
		return onSubmission
	case mail.DoorLMTP:
		return onLMTP
	}
	return 0
}

// find returns the row of a verb at a door.
func find(verb string, d mail.Door) (command, bool) {
	for _, c := range commands {
		if c.verb == verb && c.doors&at(d) != 0 {
			return c, true
		}
	}
	return command{}, false
}

// verbs lists the commands of a door, for HELP.
func verbs(d mail.Door) []string {
	var out []string
	for _, c := range commands {
		// Those that begin with X are for hosts in front of us alone.
		if c.doors&at(d) != 0 && c.verb[0] != 'X' {
			out = append(out, c.verb)
		}
	}
	return out
}

// unmet returns the reply for the first need that is not met.
func (s *session) unmet(n need) (reply, bool) {
	bad := func(text string) (reply, bool) { return refuse(mail.Final(mail.BadCommand, text)), true }
	switch {
	case n&greeted != 0 && s.helo == "":
		if s.door == mail.DoorLMTP {
			return bad("Send LHLO first")
		}
		return bad("Send EHLO first")
	case n&authed != 0 && s.door == mail.DoorSubmission && s.account.ID == 0:
		if s.tls == "" && !s.settings().AllowCleartext {
			return refuse(mail.Final(mail.TLSRequired, "Use STARTTLS first, then log in")), true
		}
		return refuse(mail.Final(mail.AuthRequired, "Log in first")), true
	case n&noTx != 0 && s.tx != nil:
		return bad("A message is under way: finish it with DATA or drop it with RSET")
	case n&inTx != 0 && s.tx == nil:
		return bad("Send MAIL first")
	case n&hasRcpt != 0 && s.tx.accepted == 0:
		return bad("No recipient was accepted")
	case n&noChunk != 0 && s.tx.chunks != nil:
		return bad("The message comes in chunks: go on with BDAT or drop it with RSET")
	}
	return reply{}, false
}
