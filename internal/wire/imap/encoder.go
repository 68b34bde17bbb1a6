package imap

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	// flushAt is how many octets the Encoder gathers before it writes.
	flushAt = 16 << 10
	// keepEncoded is the largest buffer that an idle Encoder holds on to.
	keepEncoded = 2 << 10
)

// Encoder writes responses. It gathers them in a buffer, which goes to the
// Writer when it is full or at Flush. The first error of the Writer stays:
// later responses are dropped, and Flush returns it. It is not safe for
// concurrent use.
type Encoder struct {
	w     io.Writer
	buf   []byte
	err   error
	items int // in the FETCH response that is open
}

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Flush writes what was gathered, and returns the first error of all writes so
// far.
func (e *Encoder) Flush() error {
	e.write()
	if cap(e.buf) > keepEncoded {
		e.buf = nil
	}
	return e.err
}

// Err returns the first error of all writes so far.
func (e *Encoder) Err() error { return e.err }

func (e *Encoder) write() {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// gathered writes the buffer if it is full.
func (e *Encoder) gathered() {
	if len(e.buf) >= flushAt {
		e.write()
	}
}

// octets appends text, or writes it from where it is if it is large.
func (e *Encoder) octets(text []byte) {
	if len(text) < flushAt {
		e.buf = append(e.buf, text...)
		e.gathered()
		return
	}
	e.write()
	if e.err == nil {
		_, e.err = e.w.Write(text)
	}
}

func (e *Encoder) endLine() {
	e.buf = append(e.buf, '\r', '\n')
	e.gathered()
}

func (e *Encoder) number(n uint64) { e.buf = strconv.AppendUint(e.buf, n, 10) }

// Tagged writes the last response of a command. If the tag is empty, as in a
// SyntaxError without one, the response is untagged.
//
// RFC 3501 §7.1
func (e *Encoder) Tagged(tag string, result Result, code Code, text string) {
	if tag == "" {
		tag = "*"
	}
	e.buf = append(e.buf, tag...)
	e.buf = append(e.buf, ' ')
	e.buf = append(e.buf, result...)
	e.buf = append(e.buf, ' ')
	e.status(code, text)
	e.endLine()
}

// Untagged writes a status response that ends no command: a greeting, BYE, or
// something to know.
//
// RFC 3501 §7.1
func (e *Encoder) Untagged(result Result, code Code, text string) {
	e.Tagged("", result, code, text)
}

// Syntax writes the response to a command that could not be read.
func (e *Encoder) Syntax(err *SyntaxError) {
	e.Tagged(err.Tag, err.Result, err.Code, err.Text)
}

// status appends resp-text. RFC 3501 §9
func (e *Encoder) status(code Code, text string) {
	if code != "" {
		e.buf = append(e.buf, '[')
		e.clean(string(code))
		e.buf = append(e.buf, ']', ' ')
	}
	if text == "" || code == "" && text[0] == '[' {
		e.buf = append(e.buf, '-', ' ')
	}
	e.clean(text)
}

// clean appends text so that it cannot end the line or leave ASCII.
func (e *Encoder) clean(text string) {
	for i := range len(text) {
		c := text[i]
		if isCtl(c) || c >= 0x80 {
			c = '?'
		}
		e.buf = append(e.buf, c)
	}
}

// Continue writes a continuation request with a text.
//
// RFC 3501 §7.5
func (e *Encoder) Continue(text string) {
	e.buf = append(e.buf, '+', ' ')
	e.clean(text)
	e.endLine()
}

// Exists writes how many messages the mailbox has. RFC 3501 §7.3.1
func (e *Encoder) Exists(count uint32) { e.counted(count, "EXISTS") }

// Recent writes how many messages have the flag \Recent. RFC 3501 §7.3.2
func (e *Encoder) Recent(count uint32) { e.counted(count, "RECENT") }

// Expunge writes that the message with a sequence number is gone. RFC 3501
// §7.4.1
func (e *Encoder) Expunge(seq uint32) { e.counted(seq, "EXPUNGE") }

func (e *Encoder) counted(n uint32, name string) {
	e.buf = append(e.buf, '*', ' ')
	e.number(uint64(n))
	e.buf = append(e.buf, ' ')
	e.buf = append(e.buf, name...)
	e.endLine()
}

// Capability writes the capabilities. RFC 3501 §7.2.1
func (e *Encoder) Capability(names ...string) {
	e.buf = append(e.buf, "* CAPABILITY"...)
	for _, name := range names {
		e.buf = append(e.buf, ' ')
		e.buf = append(e.buf, name...)
	}
	e.endLine()
}

// Flags writes the flags that the mailbox knows. RFC 3501 §7.2.6
func (e *Encoder) Flags(flags []Flag) {
	e.buf = append(e.buf, "* FLAGS "...)
	e.buf = AppendFlags(e.buf, flags)
	e.endLine()
}

// Search writes the outcome of SEARCH. RFC 3501 §7.2.5
func (e *Encoder) Search(numbers []uint32) {
	e.buf = append(e.buf, "* SEARCH"...)
	for _, n := range numbers {
		e.buf = append(e.buf, ' ')
		e.number(uint64(n))
		e.gathered()
	}
	e.endLine()
}

// stream appends a literal whose octets come from r.
func (e *Encoder) stream(size int64, r io.Reader) error {
	e.buf = appendLiteralSize(e.buf, size)
	e.write()
	if e.err != nil {
		return e.err
	}
	if cap(e.buf) < int(min(size, flushAt)) {
		e.buf = make([]byte, 0, flushAt)
	}
	for size > 0 {
		chunk := e.buf[:min(size, int64(cap(e.buf)))]
		n, err := io.ReadFull(r, chunk)
		if err != nil {
			// The peer counts on size octets, so nothing can follow.
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			e.err = fmt.Errorf("imap: literal source: %w", err)
			return e.err
		}
		e.buf = chunk
		e.write()
		if e.err != nil {
			return e.err
		}
		size -= int64(n)
	}
	return nil
}
