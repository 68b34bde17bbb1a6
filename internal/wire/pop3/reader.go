// Package pop3 is the grammar of POP3 commands and multi-line responses
// (RFC 1939, 2449, 5034), without sockets and without state.
package pop3

import (
	"bytes"
	"errors"
	"io"
)

// The longest lines in octets, with their end.
const (
	// MaxCommand is for a command: RFC 2449 §4 allows clients 255, a password
	// may be longer.
	MaxCommand = 2048
	// MaxAnswer is for an answer within AUTH (RFC 5034 §4).
	MaxAnswer = 12288
)

// ErrLineTooLong says that a line went beyond its limit. It was read to its end
// and the session can go on.
var ErrLineTooLong = errors.New("line too long")

const lineBuffer = 512

// Reader splits what a peer sends into lines. Idle sessions are many, so its
// buffer is small unless a line needs more.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int // buf[r:w] is unread
}

// NewReader reads from src.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, buf: make([]byte, lineBuffer)} }

// Reset goes on with another source and forgets what was read ahead; it
// returns how many octets that were (RFC 2595 §4: what came in clear behind
// STLS must not be taken for commands).
func (r *Reader) Reset(src io.Reader) int {
	dropped := r.w - r.r
	r.src, r.r, r.w = src, 0, 0
	return dropped
}

// Pending tells whether a whole line is waiting: the peer pipelines, and
// replies can wait for it.
func (r *Reader) Pending() bool { return bytes.IndexByte(r.buf[r.r:r.w], '\n') >= 0 }

// ReadLine returns the next line without its CRLF; it is valid until the next
// call. A LF alone ends a line as well: nothing is hidden by it here, and
// people type commands by hand. limit counts octets with the line's end; beyond
// it the error is ErrLineTooLong.
func (r *Reader) ReadLine(limit int) ([]byte, error) {
	seen := 0
	for {
		if i := bytes.IndexByte(r.buf[r.r+seen:r.w], '\n'); i >= 0 {
			line := r.buf[r.r : r.r+seen+i]
			r.r += len(line) + 1
			if len(line) >= limit {
				return nil, ErrLineTooLong
			}
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		seen = r.w - r.r
		if seen >= limit {
			return nil, r.skipLine()
		}
		r.makeRoom(limit)
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// makeRoom gives fill space to read into.
func (r *Reader) makeRoom(limit int) {
	ahead := r.buf[r.r:r.w]
	switch {
	case len(ahead) == 0 && len(r.buf) > lineBuffer:
		r.buf = make([]byte, lineBuffer) // a long line is over
	case len(ahead) == len(r.buf):
		larger := make([]byte, min(4*len(r.buf), max(limit, len(r.buf)+1)))
		copy(larger, ahead)
		r.buf = larger
	default:
		copy(r.buf, ahead)
	}
	r.r, r.w = 0, len(ahead)
}

func (r *Reader) fill() error {
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

// skipLine drops the rest of a line that is too long.
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
