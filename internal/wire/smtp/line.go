// Package smtp is the grammar of SMTP commands, content and replies
// (RFC 5321), without sockets and without state.
package smtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// MaxLine bounds a command line in octets, CRLF included: RFC 5321 §4.5.3.1.4
// asks for 512 plus what extensions add; AUTH asks for 12288 (RFC 4954 §4).
const MaxLine = 12288

// Errors of a command line. The line was read to its end and the session can
// go on.
var (
	ErrLineTooLong = errors.New("line too long")
	ErrBareLF      = errors.New("line ends in LF without CR, or holds a CR without LF")
	// ErrTLS is for good: what follows is no text.
	ErrTLS = errors.New("a TLS handshake instead of a command")
)

const (
	firstBuffer   = 512      // of who says little: idle sessions are many
	lineBuffer    = 2 << 10  // of who filled that once: he pipelines
	contentBuffer = 16 << 10 // while content is read
)

// Reader splits what a peer sends into lines and contents. It holds one small
// buffer while it reads lines, which grows, and a larger one while it reads content.
type Reader struct {
	src     io.Reader
	buf     []byte
	r, w    int  // buf[r:w] is unread
	lenient bool // see Normalize
}

// NewReader reads from src.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, firstBuffer)}
}

// Reset goes on with another source and forgets what was read ahead; it
// returns how many octets that were (RFC 3207 §4.2: after STARTTLS they must
// not be taken as commands).
func (r *Reader) Reset(src io.Reader) int {
	dropped := r.w - r.r
	r.src, r.r, r.w = src, 0, 0
	return dropped
}

// Pending tells whether a whole line is waiting already: the peer pipelines,
// and replies can wait for it.
func (r *Reader) Pending() bool { return bytes.IndexByte(r.buf[r.r:r.w], '\n') >= 0 }

// Buffered is how many octets were read ahead.
func (r *Reader) Buffered() int { return r.w - r.r }

// fill reads more, making room first. It needs free space in buf.
func (r *Reader) fill() error {
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// ReadLine returns the next line without its CRLF; it is valid until the next
// call. ErrLineTooLong and ErrBareLF leave the reader behind that line, and come
// with its beginning.
func (r *Reader) ReadLine() ([]byte, error) {
	seen := 0
	for {
		if r.w-r.r > 1 && r.buf[r.r] == tlsHandshake && r.buf[r.r+1] == tlsMajor {
			return nil, ErrTLS
		}
		if i := bytes.IndexByte(r.buf[r.r+seen:r.w], '\n'); i >= 0 {
			line := r.buf[r.r : r.r+seen+i+1]
			r.r += len(line)
			if len(line) > MaxLine { // the buffer may be larger behind a content
				return line[:beginning], ErrLineTooLong
			}
			return r.trim(line)
		}
		seen = r.w - r.r
		if seen >= MaxLine {
			begins := bytes.Clone(r.buf[r.r : r.r+beginning])
			return begins, r.skipLine()
		}
		if r.w == len(r.buf) && (r.r == 0 || len(r.buf) < lineBuffer) {
			r.grow(min(max(2*len(r.buf), lineBuffer), MaxLine))
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// beginning is how much is told of a line that is refused.
const beginning = 32

// How a TLS record with a handshake begins (RFC 8446 §5.1).
const tlsHandshake, tlsMajor = 0x16, 3

// IsHTTP tells whether a line, or its beginning, asks a web server for something. Of
// what browsers send on others' behalf its first word decides: what comes behind it is
// chosen by whoever makes them send it. Of the rest the form does (RFC 9112 §3).
func IsHTTP(line []byte) bool {
	word, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	if bytes.HasPrefix(version, []byte("HTTP/")) && (bytes.HasPrefix(target, []byte("/")) || bytes.Equal(target, []byte("*"))) {
		return true
	}
	switch strings.ToUpper(string(word[:min(len(word), 8)])) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH":
		return len(word) <= 8
	}
	return false
}

// IsChunk tells whether a line, or its beginning, may be a BDAT, so that what
// comes behind it may be content.
func IsChunk(line []byte) bool {
	const verb = "BDAT"
	return len(line) >= len(verb) && strings.EqualFold(string(line[:len(verb)]), verb)
}

// ReadAhead waits for the peer's next octets and keeps them.
func (r *Reader) ReadAhead() error {
	if r.r == 0 && r.w == len(r.buf) {
		return nil
	}
	return r.fill()
}

func (r *Reader) trim(line []byte) ([]byte, error) {
	n := len(line)
	if r.lenient && bytes.IndexByte(line, '\r') < 0 {
		return line[:n-1], nil
	}
	if n < 2 || line[n-2] != '\r' || bytes.IndexByte(line[:n-2], '\r') >= 0 {
		return line[:min(n, beginning)], ErrBareLF
	}
	return line[:n-2], nil
}

// skipLine drops the rest of an over-long line.
func (r *Reader) skipLine() error {
	for {
		if i := bytes.IndexByte(r.buf[r.r:r.w], '\n'); i >= 0 {
			r.r += i + 1
			return ErrLineTooLong
		}
		r.r, r.w = 0, 0
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// grow moves to a buffer of n octets.
func (r *Reader) grow(n int) {
	buf := make([]byte, n)
	r.w = copy(buf, r.buf[r.r:r.w])
	r.r, r.buf = 0, buf
}
