package smtp

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"
)

// ErrBareNewline says that a content held a CR without LF or a LF without CR.
// Such a message is refused and never reinterpreted: what ends a content for
// one host and not for the next smuggles mail (RFC 5321 §2.3.8).
var ErrBareNewline = errors.New("the message holds a CR without LF or a LF without CR")

// Buffers lends the large buffers in which contents are read, so that idle
// sessions hold none.
type Buffers struct{ pool sync.Pool }

// NewBuffers returns an empty pool.
func NewBuffers() *Buffers {
	return &Buffers{pool: sync.Pool{New: func() any {
		b := make([]byte, contentBuffer)
		return &b
	}}}
}

// ReadContent reads a content up to CRLF.CRLF and writes it, without that end
// and without dot-stuffing, to dst (RFC 5321 §4.5.2). An error of dst does not
// stop the reading: it is returned once the end was seen, so that the session
// can go on, as is ErrBareNewline, or as *EndlessError if it is not seen within
// bounds. An error of the source is returned at once as *ReadError.
func (r *Reader) ReadContent(dst io.Writer, pool *Buffers, bounds Bounds) error {
	small, lent, err := r.widen(pool)
	if err != nil {
		return err
	}
	d := dotReader{dst: dst, lenient: r.lenient, bounds: bounds}
	if r.lenient {
		d.dst = &lineEnds{dst: dst}
	}
	err = d.read(r)
	r.giveBack(small)
	pool.pool.Put(lent)
	return err
}

// widen goes on with a large buffer, lent from a pool.
func (r *Reader) widen(pool *Buffers) (small []byte, lent *[]byte, err error) {
	lent, ok := pool.pool.Get().(*[]byte)
	if !ok {
		return nil, nil, errors.New("smtp: foreign buffer in pool")
	}
	small = r.buf
	if len(small) < len(*lent) {
		r.w = copy(*lent, small[r.r:r.w])
		r.r, r.buf = 0, *lent
	}
	return small, lent, nil
}

// giveBack returns to the small buffer, or to one that holds what was read
// ahead.
func (r *Reader) giveBack(small []byte) {
	if ahead := r.w - r.r; ahead > len(small) {
		small = make([]byte, ahead)
	}
	r.w = copy(small, r.buf[r.r:r.w])
	r.r, r.buf = 0, small
}

// ReadError is a failure of the connection in the middle of a content: nothing
// of it may be kept.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "reading the message: " + e.Err.Error() }

// Unwrap gives the connection's error.
func (e *ReadError) Unwrap() error { return e.Err }

// Bounds is how far a content is read. What becomes of it does not count: who is
// refused in its middle would else go on for ever.
type Bounds struct {
	Octets int64     // of it in all
	Until  time.Time // once it is refused
}

// EndlessError is why a content is refused whose end did not come within bounds:
// the session cannot go on, and the peer is still to hear why.
type EndlessError struct{ Err error }

func (e *EndlessError) Error() string { return "the message does not end: " + e.Err.Error() }

// Unwrap gives the reason.
func (e *EndlessError) Unwrap() error { return e.Err }

var errEndless = errors.New("the message does not end")

// dotReader is one content being read.
type dotReader struct {
	dst     io.Writer
	bounds  Bounds
	err     error // of dst, or ErrBareNewline: the first one
	lenient bool  // bare newlines are passed on, but end nothing
	midLine bool  // the line at hand began in an earlier buffer
	afterLF bool  // the line before ended in a LF without CR: no line begins here
	lastCR  bool  // that earlier part ended in CR, which is still held back
}

// read works on whole lines as far as the buffer holds them, and passes runs of
// lines that need no change on in one piece.
func (d *dotReader) read(r *Reader) error {
	left := d.bounds.Octets - int64(r.Buffered())
	for {
		done := d.lines(r)
		if done {
			return d.err
		}
		if r.r == 0 && r.w == len(r.buf) {
			d.part(r)
		}
		switch {
		case d.err != nil && (left <= 0 || !time.Now().Before(d.bounds.Until)):
			return &EndlessError{Err: d.err}
		case left <= 0:
			return &ReadError{Err: errEndless}
		}
		ahead := r.Buffered()
		if err := r.fill(); err != nil {
			return &ReadError{Err: err}
		}
		left -= int64(r.Buffered() - ahead)
	}
}

// lines takes all whole lines in the buffer; true = the end was among them.
func (d *dotReader) lines(r *Reader) bool {
	run := r.r // start of the run of lines not yet passed on
	for {
		i := bytes.IndexByte(r.buf[r.r:r.w], '\n')
		if i < 0 {
			d.write(r.buf[run:r.r])
			return false
		}
		line := r.buf[r.r : r.r+i+1]
		if !d.wellFormed(line) {
			d.bare()
		}
		if d.stuffed(line) {
			d.write(r.buf[run:r.r])
			run = r.r + 1
			if string(line) == ".\r\n" {
				r.r += 3
				return true
			}
		}
		if d.lastCR {
			d.write([]byte("\r"))
		}
		r.r += len(line)
		d.afterLF = !d.endsInCRLF(line)
		d.midLine, d.lastCR = false, false
	}
}

// bare notes a CR or LF that stands alone.
func (d *dotReader) bare() {
	if !d.lenient {
		d.fail(ErrBareNewline)
	}
}

// stuffed tells whether a line begins with a dot that is not its own. Behind a bare
// LF none does, but for those who end all their lines so: they double their dots
// as well, and one that is alone is a dot, since it must not be the end.
func (d *dotReader) stuffed(line []byte) bool {
	if line[0] != '.' || d.midLine {
		return false
	}
	return !d.afterLF || d.lenient && string(line) != ".\n" && string(line) != ".\r\n"
}

// wellFormed tells whether a line, or the last part of one, ends in CRLF and
// holds no other CR.
func (d *dotReader) wellFormed(line []byte) bool {
	if len(line) == 1 {
		return d.lastCR
	}
	return d.endsInCRLF(line) && bytes.IndexByte(line[:len(line)-2], '\r') < 0 && !d.lastCR
}

func (d *dotReader) endsInCRLF(line []byte) bool {
	if len(line) == 1 {
		return d.lastCR
	}
	return line[len(line)-2] == '\r'
}

// part passes on the beginning of a line that is longer than the buffer. A CR
// at its end is held back: what follows decides on it.
func (d *dotReader) part(r *Reader) {
	p := r.buf[r.r:r.w]
	if d.lastCR {
		d.bare()
		d.write([]byte("\r"))
	}
	if d.stuffed(p) {
		p = p[1:]
	}
	d.lastCR = p[len(p)-1] == '\r'
	if d.lastCR {
		p = p[:len(p)-1]
	}
	if bytes.IndexByte(p, '\r') >= 0 {
		d.bare()
	}
	d.write(p)
	d.midLine = true
	r.r, r.w = 0, 0
}

func (d *dotReader) write(p []byte) {
	if d.err != nil || len(p) == 0 {
		return
	}
	if _, err := d.dst.Write(p); err != nil {
		d.fail(err)
	}
}

func (d *dotReader) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}
