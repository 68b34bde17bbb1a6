package sevenbit

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// leaf goes through the body of a part that has no parts.
func (p *planner) leaf(q *mime.Part, in place) error {
	seen, err := p.measure(q.End())
	switch {
	case err != nil:
		return err
	case seen.SevenBit():
		return p.relabel(q, in)
	case in.sealed:
		return SealedPart
	}
	end, err := p.bodyEnd(q)
	if err != nil {
		return err
	}
	e := edit{off: q.BodyOffset(), end: end, last: end == p.plan.size}
	size := int64(0)
	switch q.Encoding {
	case "7bit", "8bit", "binary":
		if p.composite(q, in) {
			return Composite
		}
		e.to, size, err = p.choose(q, e)
	case base64Name, quotedName:
		// The header says that the body is 7-bit, but it is not: a long line of
		// base64 is broken up, what is not encoded becomes so.
		e.from, e.to = q.Encoding, q.Encoding
		size, err = p.plan.try(e)
	default:
		return UnknownEncoding
	}
	if err != nil {
		return err
	}
	more, err := p.fields(q, seen)
	if err != nil {
		return err
	}
	if err := p.label(q, e.to, more); err != nil {
		return err
	}
	p.plan.add(e, size)
	return nil
}

// bodyEnd is where the octets end that are to be encoded. If a message in the
// part has a header only, its blank line may be the line end that the delimiter
// behind it needs: that stays.
func (p *planner) bodyEnd(q *mime.Part) (int64, error) {
	end := q.End()
	next, _ := p.in.Peek(1) // an error comes again when it is read
	if len(next) == 0 || next[0] == '\r' || next[0] == '\n' {
		return end, nil
	}
	var last [2]byte
	if _, err := io.ReadFull(span(p.plan.src, end-2, end), last[:]); err != nil {
		return 0, err
	}
	if string(last[:]) != "\r\n" {
		return 0, Between
	}
	return end - 2, nil
}

// composite tells whether a leaf is none by its own header: the parser gives
// what it cannot follow as text, but to encode it is forbidden all the same
// (RFC 2045 §6.4). Readers differ in which of two fields they heed.
func (p *planner) composite(q *mime.Part, in place) bool {
	if q.Type == "message" {
		return !isGlobal(q)
	}
	typed := false
	for f := range mime.Header(p.head).All() {
		if !named(f, "Content-Type") {
			continue
		}
		typed = true
		value, _, _ := strings.Cut(strings.ToLower(f.Text()), ";")
		if strings.Contains(value, "multipart") || strings.Contains(value, "message") {
			return true
		}
	}
	return in.digest && !typed // RFC 2046 §5.1.5: a message by default
}

// choose takes quoted-printable for text, unless base64 is shorter, and base64
// for anything else.
func (p *planner) choose(q *mime.Part, e edit) (to string, size int64, err error) {
	e.to = base64Name
	binary, err := p.plan.try(e)
	if err != nil || q.Type != "text" {
		return base64Name, binary, err
	}
	e.to = quotedName
	text, err := p.plan.try(e)
	if err != nil || text > binary {
		return base64Name, binary, err
	}
	return quotedName, text, nil
}

// fields are the fields that the header of a message lacks. Without MIME-Version
// the encoding would not count (RFC 2045 §4). A body without type is us-ascii;
// as this one is not, it needs a charset (RFC 1428 §3).
func (p *planner) fields(q *mime.Part, seen Octets) (string, error) {
	if q.Envelope == nil {
		return "", nil // a body part: its message has the field, or will not miss it
	}
	more := ""
	if _, has := mime.Header(p.head).Get("MIME-Version"); !has {
		more = "MIME-Version: 1.0\r\n"
	}
	_, has := mime.Header(p.head).Get("Content-Type")
	if has || q.Encoding == base64Name || q.Encoding == quotedName {
		return more, nil
	}
	charset := "us-ascii"
	if seen.High {
		valid, err := isUTF8(span(p.plan.src, q.BodyOffset(), q.End()))
		if err != nil {
			return "", err
		}
		charset = "unknown-8bit"
		if valid {
			charset = "utf-8"
		}
	}
	return more + "Content-Type: text/plain; charset=" + charset + "\r\n", nil
}

func isUTF8(r io.Reader) (bool, error) {
	in := bufio.NewReaderSize(r, chunk)
	for {
		c, n, err := in.ReadRune()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, err
		case c == utf8.RuneError && n == 1:
			return false, nil
		}
	}
}
