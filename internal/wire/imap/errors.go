package imap

import "errors"

// ErrTooBig says that the peer sends, without waiting for our consent, more
// than the limits allow: a non-synchronising literal, a line or a whole
// command. The input can no longer be followed; the server says
// BYE [TOOBIG] and closes.
var ErrTooBig = errors.New("imap: more input than the limits allow")

// ErrCancelled is returned for the SASL response "*", by which a client
// gives up an AUTHENTICATE exchange (RFC 3501 §6.2.2).
var ErrCancelled = errors.New("imap: authentication cancelled by the client")

// A SyntaxError is a command that could not be understood or taken. The
// Decoder has read past it: the next command can be read.
type SyntaxError struct {
	// Tag of the command, empty if none could be read; the reply is then
	// untagged.
	Tag string
	// Name of the command in upper case, empty if none could be read.
	Name string
	// Result is BAD, or NO where the grammar was kept but a limit or the
	// form of a mailbox name forbids the command.
	Result Result
	// Code is the response code of the reply, or empty.
	Code Code
	// Text is fit to be shown to the peer.
	Text string
}

func (e *SyntaxError) Error() string {
	if e.Name == "" {
		return "imap: " + e.Text
	}
	return "imap: " + e.Name + ": " + e.Text
}
