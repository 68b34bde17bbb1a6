package smtp

import (
	"bytes"
	"io"
)

// Normalize takes bare newlines of an old host for line ends, in commands and in
// contents: CR, LF and CRLF each become CRLF. They still end no content, since only
// CRLF.CRLF does, so that what one host takes for two messages is never one for
// another.
func (r *Reader) Normalize(on bool) { r.lenient = on }

// lineEnds writes with CRLF for each CR, LF and CRLF.
type lineEnds struct {
	dst io.Writer
	cr  bool // the last octet was a CR, for which a CRLF was written
}

// Write implements io.Writer.
func (l *lineEnds) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if l.cr && p[0] == '\n' {
			p = p[1:]
		}
		l.cr = false
		at := bytes.IndexAny(p, "\r\n")
		if at < 0 {
			at = len(p)
		}
		if err := l.put(p[:at]); err != nil {
			return 0, err
		}
		if at == len(p) {
			break
		}
		l.cr = p[at] == '\r'
		if err := l.put([]byte("\r\n")); err != nil {
			return 0, err
		}
		p = p[at+1:]
	}
	return n, nil
}

func (l *lineEnds) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := l.dst.Write(p)
	return err
}
