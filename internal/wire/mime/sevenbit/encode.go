package sevenbit

import (
	"bufio"
	"encoding/base64"
	"errors"
	"io"
)

// maxEncoded is the longest line of either encoding (RFC 2045 §6.7, §6.8).
const maxEncoded = 76

// writeBase64 encodes all of in. Where a delimiter follows, the line end before
// it ends the last line too; ended asks for one.
func writeBase64(out *bufio.Writer, in io.Reader, ended bool) error {
	lines := &wrapper{w: out}
	enc := base64.NewEncoder(base64.StdEncoding, lines)
	if _, err := io.CopyBuffer(enc, in, make([]byte, chunk)); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	if !ended || lines.col == 0 {
		return nil
	}
	_, err := out.WriteString("\r\n")
	return err
}

// wrapper puts line ends between pieces of what passes by.
type wrapper struct {
	w   *bufio.Writer
	col int
}

func (l *wrapper) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if l.col == maxEncoded {
			if _, err := l.w.WriteString("\r\n"); err != nil {
				return 0, err
			}
			l.col = 0
		}
		n := min(len(rest), maxEncoded-l.col)
		if _, err := l.w.Write(rest[:n]); err != nil {
			return 0, err
		}
		l.col += n
		rest = rest[n:]
	}
	return len(p), nil
}

// writeQuoted encodes all of in (RFC 2045 §6.7). CRLF ends a line; a CR or LF of
// its own is data and encoded.
func writeQuoted(out *bufio.Writer, in *bufio.Reader) error {
	q := quoter{out: out, in: in}
	for {
		c, err := in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return q.err
		case err != nil:
			return err
		}
		if q.put(c); q.err != nil {
			return q.err
		}
	}
}

type quoter struct {
	out *bufio.Writer
	in  *bufio.Reader
	col int   // of the line being written
	err error // of out, which repeats it
}

// put encodes one octet, with what follows it still to be read.
func (q *quoter) put(c byte) {
	if c == '\r' && q.follows("\n") {
		_, _ = q.in.Discard(1) // just peeked
		q.line("\r\n")
		return
	}
	plain := c >= ' ' && c <= '~' && c != '=' || c == '\t'
	if (c == ' ' || c == '\t') && q.lineEnds() {
		plain = false // RFC 2045 §6.7 (3): white space there may get lost
	}
	size := 3
	if plain {
		size = 1
	}
	// One column is kept for the "=" of a soft line break.
	if q.col+size >= maxEncoded {
		q.line("=\r\n")
	}
	if !plain || q.col == 0 && q.risky(c) {
		q.escape(c)
		return
	}
	q.err = q.out.WriteByte(c)
	q.col++
}

// line ends a line.
func (q *quoter) line(end string) {
	_, q.err = q.out.WriteString(end)
	q.col = 0
}

func (q *quoter) escape(c byte) {
	const digits = "0123456789ABCDEF"
	_ = q.out.WriteByte('=') // the last one repeats an error
	_ = q.out.WriteByte(digits[c>>4])
	q.err = q.out.WriteByte(digits[c&15])
	q.col += 3
}

// risky tells whether an octet at the start of a line would be taken for more
// than text: a dot by SMTP, "From " by mailboxes (RFC 2049 §3), and dashes as a
// delimiter, which a soft line break could bring to the start of a line.
func (q *quoter) risky(c byte) bool {
	switch c {
	case '.':
		return true
	case 'F':
		return q.follows("rom ")
	case '-':
		return q.follows("-")
	}
	return false
}

// follows and lineEnds look ahead. An error of the source comes again when the
// octets are read.
func (q *quoter) follows(s string) bool {
	next, _ := q.in.Peek(len(s))
	return string(next) == s
}

func (q *quoter) lineEnds() bool {
	next, err := q.in.Peek(2)
	return len(next) == 0 && err != nil || string(next) == "\r\n"
}
