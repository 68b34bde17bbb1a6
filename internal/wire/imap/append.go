package imap

import (
	"errors"
	"io"
	"time"
)

// Append is the APPEND command up to its message. RFC 3501 §6.3.11
type Append struct {
	Mailbox string
	Flags   []Flag
	// Date is the internal date asked for, zero if none was sent.
	Date time.Time
	// Message is to be read, and then finished or refused.
	Message *Literal
}

// Literal is the message of APPEND, still on its way. It is read from the
// Source of the Decoder, which must not be used otherwise meanwhile.
type Literal struct {
	// Size in octets, within the limits.
	Size int64
	// Sync says that the client waits for consent, which the first Read
	// gives. Until then Refuse costs the client nothing.
	Sync bool

	d     *Decoder
	left  int64
	begun bool
	done  bool
}

func (d *Decoder) appendMessage() Request {
	d.space()
	req := Append{Mailbox: d.mailbox()}
	d.space()
	if d.peek() == '(' {
		req.Flags = d.flagList()
		d.space()
	}
	if d.take('"') {
		req.Date = d.dateTime()
		d.space()
	}
	// From here on a fault makes the message something to read past.
	d.literals = d.limits.Message
	if d.err == nil && d.refused != nil {
		d.err = d.refused
	}
	size, sync := d.literalSize(d.limits.Message)
	if d.err != nil {
		return nil
	}
	req.Message = &Literal{Size: size, Sync: sync, d: d, left: size}
	d.pending = req.Message
	return req
}

// dateTime takes a date-time behind its opening quote.
func (d *Decoder) dateTime() time.Time {
	s := d.run(func(c byte) bool { return c != '"' })
	t, err := ParseDateTime(string(s))
	if err != nil {
		d.fail("bad date-time")
	}
	d.expect('"', "the end of the date-time")
	return t
}

// begin tells a client that waits for it to send the message.
func (l *Literal) begin() error {
	if l.begun {
		return nil
	}
	l.begun = true
	if l.Sync {
		if err := l.d.proceed(); err != nil {
			return l.d.end(err)
		}
	}
	return nil
}

// Read reads the message; io.EOF comes after Size octets. Any other error is
// final for the Decoder too.
func (l *Literal) Read(p []byte) (int, error) {
	if l.d.fatal != nil {
		return 0, l.d.fatal
	}
	if l.done {
		return 0, io.EOF
	}
	if err := l.begin(); err != nil {
		return 0, err
	}
	if l.left == 0 {
		return 0, io.EOF
	}
	n, err := l.d.src.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if l.left == 0 {
			return n, nil
		}
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, l.d.end(err)
	}
	return n, nil
}

// Finish reads what is left of the message, and the end of the command. A
// *SyntaxError means that the client sent more than APPEND has: the message is
// not to be kept. Any other error is final.
func (l *Literal) Finish() error {
	if l.d.fatal != nil {
		return l.d.fatal
	}
	if l.done {
		return nil
	}
	if err := l.begin(); err != nil {
		return err
	}
	l.done = true
	d := l.d
	d.pending = nil
	if err := d.discard(l.left); err != nil {
		return err
	}
	l.left = 0
	defer d.release()
	if err := d.nextLine(); err != nil {
		return err
	}
	d.finish()
	if d.err != nil && d.drain() != nil {
		return d.fatal
	}
	return d.err
}

// Refuse ends the command without the message. If the client still waits for
// consent nothing is read; else what it sends is read and dropped. An error is
// final.
func (l *Literal) Refuse() error {
	if l.Sync && !l.begun {
		l.done = true
		l.d.pending = nil
		return l.d.fatal
	}
	var syntax *SyntaxError
	if err := l.Finish(); err != nil && !errors.As(err, &syntax) {
		return err
	}
	return nil
}
