package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// The methods here take one token each from the line. After the first error of
// a command they take nothing and return zero values, so that a parser need
// look at d.err only where it loops.

func isCtl(c byte) bool { return c < 0x20 || c == 0x7f }

// isAtomChar is ATOM-CHAR. RFC 3501 §9
func isAtomChar(c byte) bool {
	switch c {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', ']':
		return false
	}
	return c < 0x80 && !isCtl(c)
}

// isAStringChar is ASTRING-CHAR. RFC 3501 §9
func isAStringChar(c byte) bool { return c == ']' || isAtomChar(c) }

// isListChar is list-char. RFC 3501 §9
func isListChar(c byte) bool { return c == '%' || c == '*' || isAStringChar(c) }

func isTagChar(c byte) bool { return c != '+' && isAStringChar(c) }

// peek returns the next octet, or 0 at the end of the line.
func (d *Decoder) peek() byte {
	if d.err != nil || d.pos >= len(d.line) {
		return 0
	}
	return d.line[d.pos]
}

// take reports whether the next octet is c, and passes it.
func (d *Decoder) take(c byte) bool {
	if d.err != nil || d.pos >= len(d.line) || d.line[d.pos] != c {
		return false
	}
	d.pos++
	return true
}

func (d *Decoder) expect(c byte, what string) {
	if !d.take(c) {
		d.fail("expected " + what)
	}
}

func (d *Decoder) space() { d.expect(' ', "a space") }

// finish expects the end of the command. Spaces before it are forgiven.
func (d *Decoder) finish() {
	for d.take(' ') {
	}
	if d.err == nil && d.pos < len(d.line) {
		d.fail("unexpected text after the arguments")
	}
}

// run takes octets as long as ok holds; the result may be empty and lives
// until the next line is read.
func (d *Decoder) run(ok func(byte) bool) []byte {
	if d.err != nil {
		return nil
	}
	start := d.pos
	for d.pos < len(d.line) && ok(d.line[d.pos]) {
		d.pos++
	}
	return d.line[start:d.pos]
}

func (d *Decoder) atom(what string) string {
	s := d.run(isAtomChar)
	if len(s) == 0 {
		d.fail("expected " + what)
	}
	return string(s)
}

// keyword takes an atom in upper case.
func (d *Decoder) keyword(what string) string {
	s := d.run(isAtomChar)
	if len(s) == 0 {
		d.fail("expected " + what)
		return ""
	}
	return upper(s)
}

// upper is the ASCII upper case of s.
func upper[T string | []byte](s T) string {
	var buf [32]byte
	out := buf[:0]
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}

// number takes a number of up to 63 bits. RFC 3501 has 32 bits here; sizes
// beyond that are answered in their own sense rather than with BAD.
func (d *Decoder) number() int64 {
	if d.err != nil {
		return 0
	}
	n, size := digits(d.line[d.pos:])
	if size == 0 || n < 0 {
		d.fail("expected a number")
		return 0
	}
	d.pos += size
	return n
}

// digits reads the decimal number at the start of s and returns how many
// octets it has; n is -1 if the number overflows.
func digits[T string | []byte](s T) (n int64, size int) {
	for size < len(s) && '0' <= s[size] && s[size] <= '9' {
		if n < 0 || n > (math.MaxInt64-9)/10 {
			n = -1
		} else {
			n = n*10 + int64(s[size]-'0')
		}
		size++
	}
	return n, size
}

// text takes a string: quoted or literal.
func (d *Decoder) text() string {
	switch d.peek() {
	case '"':
		return d.quoted()
	case '{':
		return d.literal()
	}
	d.fail("expected a string")
	return ""
}

// astring takes an atom or a string.
func (d *Decoder) astring() string { return d.textOr(isAStringChar) }

func (d *Decoder) textOr(ok func(byte) bool) string {
	if s := d.run(ok); len(s) > 0 {
		return string(s)
	}
	return d.text()
}

// quoted takes a quoted string. Octets above 127 are let through, since
// clients send them; what they mean is for the caller to judge.
func (d *Decoder) quoted() string {
	d.expect('"', "a quoted string")
	if d.err != nil {
		return ""
	}
	rest := d.line[d.pos:]
	if n := bytes.IndexAny(rest, "\"\\\r\x00"); n >= 0 && rest[n] == '"' {
		d.pos += n + 1
		return string(rest[:n])
	}
	var out []byte
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		switch c {
		case '"':
			d.pos += i + 1
			return string(out)
		case '\\':
			i++
			if i == len(rest) || rest[i] != '"' && rest[i] != '\\' {
				d.fail("bad escape in a quoted string")
				return ""
			}
			c = rest[i]
		case 0, '\r':
			d.fail("bad octet in a quoted string")
			return ""
		}
		out = append(out, c)
	}
	d.fail("quoted string without an end")
	return ""
}

// literalSize takes the announcement of a literal, which ends the line, and
// sees to it that the literal is at most limit octets.
//
// RFC 3501 §4.3, RFC 7888 §4
func (d *Decoder) literalSize(limit int64) (size int64, sync bool) {
	if d.err != nil {
		return 0, false
	}
	size, sync, ok := announced(d.line[d.pos:])
	if !ok || bytes.LastIndexByte(d.line[d.pos:], '{') != 0 {
		d.fail("bad literal")
		return 0, false
	}
	switch {
	case size <= limit:
		d.pos = len(d.line)
	case sync:
		d.err = d.refusal(NO, CodeTooBig, "literal too big")
	default:
		_ = d.end(fmt.Errorf("%w: literal of %d octets", ErrTooBig, size)) // kept in d.fatal
	}
	return size, sync
}

// literal takes a literal that is held in memory, and the line behind it.
func (d *Decoder) literal() string {
	size, sync := d.literalSize(min(d.literals, d.limits.Command-d.total))
	if d.err != nil {
		return ""
	}
	if sync {
		if err := d.proceed(); err != nil {
			_ = d.end(err) // kept in d.fatal
			return ""
		}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(d.src, body); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		_ = d.end(err) // kept in d.fatal
		return ""
	}
	d.total += size
	if d.nextLine() != nil {
		return ""
	}
	if bytes.IndexByte(body, 0) >= 0 {
		d.fail("NUL in a literal")
		return ""
	}
	return string(body)
}
