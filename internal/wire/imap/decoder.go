package imap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// Source is where commands come from; a *bufio.Reader is one. ReadSlice may
// return bufio.ErrBufferFull for a part of a long line.
type Source interface {
	io.Reader
	ReadSlice(delim byte) ([]byte, error)
}

// keepBuffer is the largest line buffer that an idle Decoder holds on to.
const keepBuffer = 512

// maxTag is the longest tag, in octets, that is taken as one.
const maxTag = 255

// Decoder reads commands from a Source. Between two calls it holds nothing
// that it has read: what follows a command is still in the Source, where a
// server can discard it after STARTTLS. It is not safe for concurrent use.
type Decoder struct {
	src      Source
	limits   Limits
	proceed  func() error
	tag      string
	name     string
	line     []byte // rest of the command as far as it was read, no line end
	pos      int    // next octet of line
	long     []byte // backs line where it did not fit the Source's buffer
	total    int64  // octets of this command
	literals int64  // largest literal of this command
	keys     int    // search keys of this command
	err      error  // first error of this command
	refused  *SyntaxError
	pending  *Literal
	fatal    error
}

// NewDecoder returns a Decoder that reads from src. It calls proceed when the
// client waits for consent to send a literal; proceed writes a continuation
// line and flushes it. An error of proceed ends the Decoder.
func NewDecoder(src Source, limits Limits, proceed func() error) *Decoder {
	return &Decoder{src: src, limits: limits, proceed: proceed}
}

// SetLimits replaces the limits for the commands to come, for example after
// login.
func (d *Decoder) SetLimits(limits Limits) { d.limits = limits }

// ReadCommand reads the next command. The error is a *SyntaxError if the
// command is to be answered with BAD or NO and reading can go on. Every other
// error is final: io.EOF between commands, ErrTooBig, or what the Source or
// proceed returned. If the last command was APPEND, its literal is finished
// first.
func (d *Decoder) ReadCommand() (Command, error) {
	if d.fatal == nil && d.pending != nil {
		_ = d.pending.Refuse() // a final error is in d.fatal
	}
	if d.fatal != nil {
		return Command{}, d.fatal
	}
	d.reset()
	defer d.release()
	if err := d.nextLine(); err != nil {
		return Command{}, d.fatal
	}
	req := d.command()
	if d.err == nil && d.refused != nil {
		d.err = d.refused
	}
	if d.err != nil {
		if d.fatal == nil && d.drain() == nil {
			return Command{}, d.err
		}
		return Command{}, d.fatal
	}
	return Command{Tag: d.tag, Name: d.name, Request: req}, nil
}

// ReadLine reads one line that is no command, without its line end: a SASL
// response or the DONE of IDLE. A line longer than the limit is ErrTooBig.
func (d *Decoder) ReadLine() (string, error) {
	if d.fatal != nil {
		return "", d.fatal
	}
	d.reset()
	defer d.release()
	if err := d.nextLine(); err != nil {
		return "", err
	}
	return string(d.line), nil
}

// release lets go of the line, which may be memory of the Source.
func (d *Decoder) release() {
	d.line, d.pos = nil, 0
	if cap(d.long) > keepBuffer {
		d.long = nil
	}
}

func (d *Decoder) reset() {
	d.tag, d.name = "", ""
	d.total, d.keys, d.err, d.refused = 0, 0, nil, nil
	d.literals = d.limits.LoginLiteral
}

// nextLine replaces d.line with the next line. Its errors are final. A bare LF
// ends a line, as it does for every common server.
func (d *Decoder) nextLine() error {
	d.long = d.long[:0]
	d.pos = 0
	for {
		part, err := d.src.ReadSlice('\n')
		size := len(d.long) + len(part)
		started := d.total > 0 || size > 0
		d.total += int64(len(part))
		if size > d.limits.Line || d.total > d.limits.Command {
			return d.end(fmt.Errorf("%w: line or command too long", ErrTooBig))
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			d.long = append(d.long, part...)
			continue
		}
		if errors.Is(err, io.EOF) && started {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return d.end(err)
		}
		if len(d.long) > 0 {
			d.long = append(d.long, part...)
			part = d.long
		}
		d.line = bytes.TrimSuffix(part[:len(part)-1], []byte{'\r'})
		return nil
	}
}

// end makes err the last word of the Decoder.
func (d *Decoder) end(err error) error {
	d.fatal = err
	if d.err == nil {
		d.err = err
	}
	return err
}

// fail makes the command a BAD one, unless it already failed.
func (d *Decoder) fail(text string) {
	if d.err == nil {
		d.err = d.refusal(BAD, "", text)
	}
}

func (d *Decoder) refusal(result Result, code Code, text string) *SyntaxError {
	return &SyntaxError{Tag: d.tag, Name: d.name, Result: result, Code: code, Text: text}
}

// drain reads what belongs to the command but was not parsed: the octets that
// non-synchronising literals still announce. A synchronising literal ends the
// command, since the client waits for our word and gets a tagged reply.
func (d *Decoder) drain() error {
	budget := max(d.limits.Command-d.total, d.literals)
	for {
		size, sync, ok := announced(d.line)
		if !ok || sync {
			return nil
		}
		if size > budget {
			return d.end(fmt.Errorf("%w: literal of %d octets", ErrTooBig, size))
		}
		budget -= size
		if err := d.discard(size); err != nil {
			return err
		}
		if err := d.nextLine(); err != nil {
			return err
		}
	}
}

func (d *Decoder) discard(size int64) error {
	_, err := io.CopyN(io.Discard, d.src, size)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return d.end(err)
	}
	return nil
}

// announced reports the literal that the end of a line announces: {n} or
// {n+}. A size beyond an int64 is reported as the largest one.
//
// RFC 7888 §8
func announced(line []byte) (size int64, sync, ok bool) {
	open := bytes.LastIndexByte(line, '{')
	if open < 0 || line[len(line)-1] != '}' {
		return 0, false, false
	}
	digits := line[open+1 : len(line)-1]
	sync = true
	if n := len(digits); n > 0 && digits[n-1] == '+' {
		digits, sync = digits[:n-1], false
	}
	if len(digits) == 0 {
		return 0, false, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		if size > (math.MaxInt64-9)/10 {
			size = math.MaxInt64
			continue
		}
		size = size*10 + int64(c-'0')
	}
	return size, sync, true
}
