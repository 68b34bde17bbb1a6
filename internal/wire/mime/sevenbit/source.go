package sevenbit

import (
	"errors"
	"fmt"
	"io"
)

// Join is a message whose beginning is in memory and whose rest is stored.
func Join(prefix []byte, body io.ReaderAt) io.ReaderAt {
	return &joined{prefix: prefix, body: body}
}

type joined struct {
	prefix []byte
	body   io.ReaderAt
}

func (j *joined) ReadAt(p []byte, off int64) (int, error) {
	n, size := 0, int64(len(j.prefix))
	if off >= 0 && off < size {
		if n = copy(p, j.prefix[off:]); n == len(p) {
			return n, nil
		}
	}
	more, err := j.body.ReadAt(p[n:], off+int64(n)-size)
	return n + more, err
}

// span reads the octets of a message from off up to end. It fails where they
// are fewer, so that half a message is never taken for a whole one.
func span(src io.ReaderAt, off, end int64) io.Reader {
	return &spanReader{r: io.NewSectionReader(src, off, end-off), left: end - off}
}

type spanReader struct {
	r    io.Reader
	left int64
}

func (s *spanReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.left -= int64(n)
	switch {
	case err == nil || errors.Is(err, io.EOF) && s.left == 0:
		return n, err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("read message: %w", err)
}

// counter counts what goes through it; without w, what goes into it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := len(p), error(nil)
	if c.w != nil {
		n, err = c.w.Write(p)
	}
	c.n += int64(n)
	return n, err
}
