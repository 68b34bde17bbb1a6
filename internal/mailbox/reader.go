package mailbox

import (
	"context"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
)

// Reader reads prefix and body of one message as one.
type Reader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Open opens a message for reading; its row must have been read with WantBody
// or WantStructure. It stays readable when the message is expunged meanwhile.
func (v *View) Open(ctx context.Context, r Row) (Reader, error) {
	if r.Body == 0 {
		return nil, ErrNoMessage
	}
	body, err := v.s.blobs.Open(ctx, r.Body)
	if err != nil {
		return nil, fmt.Errorf("open message %v: %w", r.Message, err)
	}
	return &reader{prefix: r.Prefix, body: body}, nil
}

type reader struct {
	prefix []byte
	body   blob.Reader
}

func (r *reader) Size() int64 { return int64(len(r.prefix)) + r.body.Size() }

func (r *reader) Close() error { return r.body.Close() }

func (r *reader) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off >= 0 && off < int64(len(r.prefix)) {
		n = copy(p, r.prefix[off:])
		if n == len(p) {
			return n, nil
		}
	}
	m, err := r.body.ReadAt(p[n:], off+int64(n)-int64(len(r.prefix)))
	return n + m, err
}
