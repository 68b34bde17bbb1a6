package pack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

var errEnded = errors.New("the body was committed or aborted already")

// writer implements blob.Writer. What it holds in memory is the whole body up
// to blob.InMemory, above that the last block only.
type writer struct {
	s     *Store
	id    mail.ID
	buf   buffer
	size  int64
	large *largeFile
	err   error // of the first failed write; Commit gives it again
	ended bool
}

// Create implements blob.Store.
func (s *Store) Create() blob.Writer { return s.Restore(s.opt.IDs.Next()) }

// Restore implements blob.Store.
func (s *Store) Restore(id mail.ID) blob.Writer {
	w := &writer{s: s, id: id}
	w.buf.pools, w.buf.memory = &s.pools, s.opt.Memory
	return w
}

func (w *writer) Size() int64 { return w.size }

func (w *writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.large == nil && w.size+int64(len(p)) > blob.InMemory {
		if w.err = w.spill(); w.err != nil {
			return 0, w.err
		}
	}
	total := 0
	for len(p) > 0 {
		n, err := w.take(p)
		if err != nil {
			w.err = err
			return total, err
		}
		total, p = total+n, p[n:]
		w.size += int64(n)
	}
	return total, nil
}

// take takes some octets of p into memory, and in a large body moves the block
// that they filled to the file.
func (w *writer) take(p []byte) (int, error) {
	n, err := w.buf.add(p)
	if err != nil || w.large == nil || len(w.buf.blocks[0]) < blockLen {
		return n, err
	}
	if err := w.large.append(w.buf.blocks[0]); err != nil {
		return 0, err
	}
	w.buf.blocks[0] = w.buf.blocks[0][:0]
	return n, nil
}

// spill moves what is in memory to a file and keeps one block for what follows.
func (w *writer) spill() error {
	f, err := w.s.createLarge(w.id)
	if err != nil {
		return err
	}
	w.large = f
	var rest []byte
	for _, b := range w.buf.blocks {
		if len(b) < blockLen {
			rest = b // the last one
			break
		}
		if err := f.append(b); err != nil {
			return err
		}
	}
	keep := buffer{pools: w.buf.pools, memory: w.buf.memory}
	if err := keep.charge(blockLen); err != nil {
		return err
	}
	block := take(&w.s.pools.block, blockLen)[:0]
	keep.first[0] = append(block, rest...)
	keep.size = len(rest)
	w.buf.release()
	w.buf = keep
	w.buf.blocks = w.buf.first[:1]
	return nil
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, m blob.Meta) (blob.Body, error) {
	if w.ended {
		return blob.Body{}, errEnded
	}
	if w.err != nil {
		err := w.err
		w.Abort()
		return blob.Body{}, err
	}
	w.ended = true
	e := entry{ID: w.id, Size: w.size, Stored: w.size, Meta: m}
	var p place
	var err error
	if w.large != nil {
		p, err = w.large.commit(e, w.buf.blocks[0])
		w.buf.release()
	} else {
		e.Sum = w.s.sums.body(w.id, w.buf.blocks...)
		p, err = w.s.submit(ctx, &job{head: e, blocks: w.buf.blocks, buf: &w.buf, done: make(chan result, 1)})
	}
	if err != nil {
		return blob.Body{}, fmt.Errorf("commit body %s: %w", w.id, err)
	}
	return blob.Body{ID: w.id, Size: w.size, Place: p.String()}, nil
}

// Abort implements blob.Writer.
func (w *writer) Abort() {
	if w.ended {
		return
	}
	w.ended = true
	if w.large != nil {
		w.large.drop()
	}
	w.buf.release()
}

// Reader implements blob.Writer.
func (w *writer) Reader() (io.Reader, error) {
	if w.ended {
		return nil, errEnded
	}
	if w.err != nil {
		return nil, w.err
	}
	return &written{w: w}, nil
}

// written reads a body that is still being written.
type written struct {
	w  *writer
	at int64
}

func (r *written) Read(p []byte) (int, error) {
	if r.at >= r.w.size {
		return 0, io.EOF
	}
	n, off := int(r.at/blockLen), int(r.at%blockLen)
	inFile := 0
	if r.w.large != nil {
		inFile = r.w.large.blocks
	}
	var got int
	if n < inFile {
		p = p[:min(len(p), blockLen-off)]
		var err error
		if got, err = r.w.large.f.ReadAt(p, blockStart(n)+int64(off)); err != nil {
			return 0, err
		}
	} else {
		got = copy(p, r.w.buf.blocks[n-inFile][off:])
	}
	r.at += int64(got)
	return got, nil
}
