package main

import (
	"bufio"
	"errors"
	"io"
)

// lineReader gives a text with CRLF line ends, whatever ends its lines had: LF,
// CRLF, or a CR alone, which no mail server takes. With dots, a line of a single
// dot ends the text. A text without a last line end gets one.
type lineReader struct {
	r       *bufio.Reader
	dots    bool
	begun   bool   // the next octet is not the first of its line
	pending []byte // made but not yet given out
	err     error
}

func newLineReader(r io.Reader, dots bool) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 32<<10), dots: dots}
}

// Read implements io.Reader.
func (l *lineReader) Read(p []byte) (int, error) {
	for len(l.pending) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		l.fill()
	}
	n := copy(p, l.pending)
	l.pending = l.pending[n:]
	return n, nil
}

// line returns the next line with its CRLF, valid until the next call;
// bufio.ErrTooLong if it has more than limit octets.
func (l *lineReader) line(limit int) ([]byte, error) {
	var out []byte
	for {
		if len(l.pending) == 0 {
			if l.err != nil {
				return nil, l.err
			}
			l.fill()
		}
		// fill gives at most one line, and only its last piece ends in LF.
		out = append(out, l.pending...)
		l.pending = nil
		if len(out) > limit {
			return nil, bufio.ErrTooLong
		}
		if n := len(out); n > 0 && out[n-1] == '\n' {
			return out, nil
		}
	}
}

// fill makes the next piece: the rest of a line, or as much of it as the buffer
// holds.
func (l *lineReader) fill() {
	l.pending = l.pending[:0]
	if l.dots && !l.begun && l.dotLine() {
		l.err = io.EOF
		return
	}
	limit := l.r.Size()
	for len(l.pending) < limit {
		c, err := l.r.ReadByte()
		if err != nil {
			l.end(err)
			return
		}
		if c == '\r' || c == '\n' {
			l.endLine(c)
			return
		}
		l.pending = append(l.pending, c)
		l.begun = true
	}
}

// endLine ends the line; a run of CRs before an LF is one line end.
func (l *lineReader) endLine(c byte) {
	l.pending = append(l.pending, '\r', '\n')
	l.begun = false
	if c == '\n' {
		return
	}
	const longestRun = 16
	for n := 1; n <= longestRun; n++ {
		next, err := l.r.Peek(n)
		if err != nil || next[n-1] != '\r' && next[n-1] != '\n' {
			return
		}
		if next[n-1] == '\n' {
			_, _ = l.r.Discard(n) // was just peeked at
			return
		}
	}
}

func (l *lineReader) end(err error) {
	l.err = err
	if errors.Is(err, io.EOF) && l.begun {
		l.pending = append(l.pending, '\r', '\n')
		l.begun = false
	}
}

// dotLine tells whether the line to come is a single dot.
func (l *lineReader) dotLine() bool {
	next, err := l.r.Peek(1)
	if err != nil || next[0] != '.' {
		return false
	}
	if next, err = l.r.Peek(2); err != nil {
		return errors.Is(err, io.EOF)
	}
	return next[1] == '\n' || next[1] == '\r'
}
