package pop3d

import "context"

// state is where a session stands (RFC 1939 §3). UPDATE is what QUIT does.
type state uint8

const (
	authorization state = 1 << iota
	transaction
	anyState = authorization | transaction
)

// arguments says what a command may bring.
type arguments uint8

const (
	none     arguments = iota
	optional           // a space at the end does not count, as in all but raw
	required
	raw // required, and taken to the last space
)

// command is one row of the table. All replies to a command out of place come
// from here.
type command struct {
	verb   string
	states state
	args   arguments
	run    func(ctx context.Context, s *session, arg string) reply
}

// commands is every command that we know. APOP is left out: it needs passwords
// kept in clear.
var commands = []command{
	{"CAPA", anyState, none, capa},
	{"NOOP", transaction, none, noop},
	{"QUIT", anyState, none, quit},

	{"STLS", authorization, none, stls},
	{"USER", authorization, required, user},
	{"PASS", authorization, raw, pass},
	{"AUTH", authorization, optional, auth},

	{"STAT", transaction, none, stat},
	{"LIST", transaction, optional, list},
	{"UIDL", transaction, optional, uidl},
	{"RETR", transaction, required, retr},
	{"TOP", transaction, required, top},
	{"DELE", transaction, required, dele},
	{"RSET", transaction, none, rset},
}

// unmet returns the reply to a command out of place.
func (s *session) unmet(c command, arg string) (reply, bool) {
	at := authorization
	if s.drop != nil {
		at = transaction
	}
	switch {
	case c.states&at == 0 && at == authorization:
		return refuse("", "Log in first"), true
	case c.states&at == 0:
		return refuse("", "You are logged in already"), true
	case c.args == none && arg != "":
		return refuse("", c.verb+" has no argument"), true
	case c.args >= required && arg == "":
		return refuse("", c.verb+" needs an argument"), true
	}
	return reply{}, false
}
