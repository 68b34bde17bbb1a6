package smtp

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
)

// Chunk is the argument of BDAT (RFC 3030 §2).
type Chunk struct {
	Size int64
	Last bool
}

// ParseBdat reads what follows BDAT. After an error nobody knows how many octets
// of content come behind the command: the session cannot go on.
func ParseBdat(arg string) (Chunk, error) {
	size, last, has := strings.Cut(arg, " ")
	if !isASCII(arg) || has && !strings.EqualFold(strings.TrimLeft(last, " "), "LAST") {
		return Chunk{}, ErrArgument
	}
	if size == "" || len(size) > 19 || strings.Trim(size, "0123456789") != "" {
		return Chunk{}, ErrArgument
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return Chunk{}, ErrArgument
	}
	return Chunk{Size: n, Last: has}, nil
}

// Chunks is a content that comes in chunks: its lines may be cut anywhere, and
// obey the same rules as those behind DATA.
type Chunks struct {
	Until time.Time // how long it is read once it is refused

	size int64
	tail byte // the last octet
	bare bool // a CR or LF stood alone, where that matters
	ends lineEnds
}

// Size is how many octets came so far.
func (c *Chunks) Size() int64 { return c.size }

// ReadChunk reads one chunk from r and writes it to dst. It reads all of it; an
// error of dst or ErrBareNewline comes behind that, or as *EndlessError at Until,
// one of the source at once as *ReadError. A content that ends within a line gets the
// CRLF that it lacks, since no other host could be told of it by DATA.
func (r *Reader) ReadChunk(c *Chunks, ch Chunk, dst io.Writer, pool *Buffers) error {
	small, lent, err := r.widen(pool)
	if err != nil {
		return err
	}
	if c.ends.dst = dst; r.lenient {
		dst = &c.ends
	}
	err = c.read(r, ch.Size, dst)
	r.giveBack(small)
	pool.pool.Put(lent)
	if ch.Last && err == nil {
		err = c.end(dst, r.lenient)
	}
	if !cutShort(err) && c.bare {
		return ErrBareNewline
	}
	return err
}

// cutShort tells whether a content was not read as far as it said.
func cutShort(err error) bool {
	_, lost := errors.AsType[*ReadError](err)
	_, endless := errors.AsType[*EndlessError](err)
	return lost || endless
}

// Skip reads octets that belong to a command that was refused, until a time.
func (r *Reader) Skip(n int64, until time.Time, pool *Buffers) error {
	err := r.ReadChunk(&Chunks{Until: until}, Chunk{Size: n}, nowhere{}, pool)
	if cutShort(err) {
		return err
	}
	return nil // nobody gets to see them
}

var errRefused = errors.New("the command was refused")

// nowhere refuses a content from its beginning.
type nowhere struct{}

func (nowhere) Write([]byte) (int, error) { return 0, errRefused }

func (c *Chunks) read(r *Reader, left int64, dst io.Writer) (err error) {
	for left > 0 {
		if r.r == r.w {
			if why := c.refused(err); why != nil && !time.Now().Before(c.Until) {
				return &EndlessError{Err: why}
			}
			if err := r.fill(); err != nil {
				return &ReadError{Err: err}
			}
		}
		p := r.buf[r.r:min(int64(r.w), int64(r.r)+left)]
		c.look(p)
		c.bare = c.bare && !r.lenient
		if err == nil && !c.bare {
			_, err = dst.Write(p)
		}
		r.r += len(p)
		left -= int64(len(p))
	}
	return err
}

// refused is why the content is, by the error of dst or a bare newline.
func (c *Chunks) refused(err error) error {
	if c.bare {
		return ErrBareNewline
	}
	return err
}

// look checks the line ends of the next octets.
func (c *Chunks) look(p []byte) {
	if c.tail == '\r' && p[0] != '\n' {
		c.bare = true
	}
	for line := range bytes.Lines(p) {
		n := len(line)
		before := c.tail // the octet before the line's last one
		if n > 1 {
			before = line[n-2]
		}
		inner := line[:n-1]
		if c.tail = line[n-1]; c.tail == '\n' {
			inner = line[:max(0, n-2)]
			c.bare = c.bare || before != '\r'
		}
		c.bare = c.bare || bytes.IndexByte(inner, '\r') >= 0
	}
	c.size += int64(len(p))
}

// end completes the last line.
func (c *Chunks) end(dst io.Writer, lenient bool) error {
	switch {
	case c.size == 0 || c.bare || c.tail == '\n' || c.tail == '\r' && lenient:
		return nil
	case c.tail == '\r':
		c.bare = true
		return nil
	}
	_, err := io.WriteString(dst, "\r\n")
	return err
}
