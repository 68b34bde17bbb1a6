package imapd

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// reply is what a command leads to, behind the untagged responses that its
// handler wrote.
type reply struct {
	result imap.Result
	code   imap.Code
	text   string
	tag    string // of a command that could not be read; else the command's own
	wrong  bool   // the client does not know what it is doing
	close  bool   // the session ends behind it
	bye    string // a BYE that follows, or instead of the rest
	// lost is why the input broke off in the middle of the command; nothing
	// else of the reply counts then.
	lost error
	// then goes on behind the tagged reply; its error ends the session.
	then func(context.Context) error
}

func ok(text string) reply { return reply{result: imap.OK, text: text} }

func bad(text string) reply { return reply{result: imap.BAD, text: text} }

func no(code imap.Code, text string) reply { return reply{result: imap.NO, code: code, text: text} }

// brokenOff is for a command whose input ended in its middle.
func brokenOff(err error) reply { return reply{lost: err, close: true} }

// misplaced is for commands that do not exist, or not in this state.
func misplaced(text string) reply { return reply{result: imap.BAD, text: text, wrong: true} }

func unknown() reply { return misplaced("Unknown command") }

// hangUp ends the session with a BYE alone.
func hangUp(text string) reply { return reply{bye: text, close: true} }

// gone is for commands that name messages by sequence number, some of which
// another session has expunged.
// RFC 5530 §3
func gone() reply {
	return no(imap.CodeExpungeIssued, "Some of the messages are no longer there")
}

// refusal is a reply to an error of the store.
type refusal struct {
	err  error
	code imap.Code
	text string
}

// failed is the one place that turns errors of the store into replies. What it
// does not know is temporary, and only the log hears of its cause.
func (s *session) failed(what string, err error) reply {
	if errors.Is(err, mailbox.ErrNoMessage) {
		// RFC 3501 §9 seq-number
		return bad("There is no message with that sequence number")
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return no(r.code, r.text)
		}
	}
	s.log.Error("command failed", "command", what, "account", s.account.ID.String(), "error", err)
	return no(imap.CodeUnavailable, "This cannot be done right now, please try again later")
}

// failedTarget is failed for commands that put messages into a mailbox.
// RFC 3501 §6.3.11, §6.4.7
func (s *session) failedTarget(what string, err error) reply {
	if errors.Is(err, mailbox.ErrNoMailbox) || errors.Is(err, mailbox.ErrNoSelect) {
		return no(imap.CodeTryCreate, "There is no such mailbox: create it first")
	}
	return s.failed(what, err)
}
