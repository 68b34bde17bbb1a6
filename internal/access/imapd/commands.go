package imapd

import (
	"context"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// states is where a command may be given; doc and test in one.
// RFC 3501 §3
type states uint8

const (
	stranger states = 1 << iota // not authenticated
	authed                      // authenticated
	inside                      // selected
	anywhere = stranger | authed | inside
	user     = authed | inside
)

// news is what of the changes to the selected mailbox is told before a
// command's tagged reply.
type news uint8

const (
	quiet news = iota // nothing: the command leaves or enters a mailbox
	// kept is all but EXPUNGE, since sequence numbers must hold still.
	// RFC 3501 §7.4.1
	kept
	all
)

// command is one row of the table. All replies to a command in a wrong state
// come from here.
type command struct {
	name   string
	states states
	news   news
	run    func(ctx context.Context, s *session, cmd imap.Command) reply
}

// row makes a command of a handler for one type of request.
func row[R imap.Request](name string, st states, n news, run func(context.Context, *session, R) reply) command {
	return command{name: name, states: st, news: n, run: func(ctx context.Context, s *session, cmd imap.Command) reply {
		req, ok := cmd.Request.(R)
		if !ok {
			return unknown()
		}
		return run(ctx, s, req)
	}}
}

// commands is every command that we know, by its name.
var commands = byName(
	row("CAPABILITY", anywhere, all, capability),
	row("NOOP", anywhere, all, noop),
	row("LOGOUT", anywhere, quiet, logout),
	row("ID", anywhere, all, identify),

	row("STARTTLS", stranger, quiet, starttls),
	row("LOGIN", stranger, quiet, login),
	row("AUTHENTICATE", stranger, quiet, authenticate),

	row("SELECT", user, quiet, selectMailbox),
	row("EXAMINE", user, quiet, selectMailbox),
	row("CREATE", user, all, create),
	row("DELETE", user, all, deleteMailbox),
	row("RENAME", user, all, rename),
	row("SUBSCRIBE", user, all, subscribe),
	row("UNSUBSCRIBE", user, all, unsubscribe),
	row("LIST", user, all, list),
	row("LSUB", user, all, lsub),
	row("STATUS", user, all, status),
	row("APPEND", user, all, appendMessage),
	row("NAMESPACE", user, all, namespace),
	row("IDLE", user, all, idle),

	row("CHECK", inside, all, check),
	row("CLOSE", inside, quiet, closeMailbox),
	row("UNSELECT", inside, quiet, unselect),
	row("EXPUNGE", inside, all, expunge),
	row("SEARCH", inside, kept, search),
	row("FETCH", inside, kept, fetch),
	row("STORE", inside, kept, store),
	row("COPY", inside, all, copyMessages),
	row("MOVE", inside, all, moveMessages),
	row("UID EXPUNGE", inside, all, expunge),
	row("UID SEARCH", inside, all, search),
	row("UID FETCH", inside, all, fetch),
	row("UID STORE", inside, all, store),
	row("UID COPY", inside, all, copyMessages),
	row("UID MOVE", inside, all, moveMessages),
)

func byName(rows ...command) map[string]command {
	m := make(map[string]command, len(rows))
	for _, r := range rows {
		m[r.name] = r
	}
	return m
}

// state is where the session is.
func (s *session) state() states {
	switch {
	case s.account.ID == 0:
		return stranger
	case s.sel == nil:
		return authed
	}
	return inside
}

// unmet returns the reply to a command that does not fit the session's state.
func (s *session) unmet(allowed states) (r reply, fits bool) {
	at := s.state()
	switch {
	case allowed&at != 0:
		return reply{}, true
	case at == stranger:
		return misplaced("Log in first"), false
	case allowed == stranger:
		return misplaced("You are logged in already"), false
	}
	return misplaced("Select a mailbox first"), false
}

// refusals are the errors of the store that a client may hear of.
// RFC 5530 §3
var refusals = []refusal{
	{mailbox.ErrNoMailbox, imap.CodeNonexistent, "There is no such mailbox"},
	{mailbox.ErrNoSelect, imap.CodeCannot, "This name only holds other mailboxes"},
	{mailbox.ErrMailboxExists, imap.CodeAlreadyExists, "There is a mailbox of that name already"},
	{mailbox.ErrBadName, imap.CodeCannot, "That is no name for a mailbox"},
	{mailbox.ErrNotAllowed, imap.CodeCannot, "This cannot be done to that mailbox"},
	{mailbox.ErrHasChildren, imap.CodeCannot, "The mailbox holds other mailboxes"},
	{mailbox.ErrTooMany, imap.CodeLimit, "There are too many mailboxes or subscriptions"},
	{mailbox.ErrReadOnly, imap.CodeReadOnly, "The mailbox was opened for reading only"},
	{mailbox.ErrOverQuota, imap.CodeOverQuota, "There is not enough room for this in your account"},
	{mailbox.ErrBadKeyword, imap.CodeLimit, "A keyword is too long, or there are too many of them"},
}

// attributes are how LIST tells of a mailbox's use.
// RFC 6154 §2
var attributes = map[mailbox.Role]string{
	mailbox.RoleDrafts:  imap.AttrDrafts,
	mailbox.RoleSent:    imap.AttrSent,
	mailbox.RoleJunk:    imap.AttrJunk,
	mailbox.RoleTrash:   imap.AttrTrash,
	mailbox.RoleArchive: imap.AttrArchive,
}

// systemFlags are the flags of the wire and of the store.
// RFC 3501 §2.3.2
var systemFlags = []struct {
	wire imap.Flag
	bit  mailbox.Flags
}{
	{imap.FlagAnswered, mailbox.Answered},
	{imap.FlagFlagged, mailbox.Flagged},
	{imap.FlagDeleted, mailbox.Deleted},
	{imap.FlagSeen, mailbox.Seen},
	{imap.FlagDraft, mailbox.Draft},
}
