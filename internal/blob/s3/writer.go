package s3

import (
	"context"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// writer implements blob.Writer. What it holds in memory is the whole body up
// to blob.InMemory, above that the last piece only: the rest is in a file.
type writer struct {
	s     *Store
	id    mail.ID
	buf   buffer
	size  int64
	sum   *summer
	file  *spool
	err   error // of the first failed write; Commit gives it again
	ended bool
}

// Create implements blob.Store.
func (s *Store) Create() blob.Writer { return s.Restore(s.opt.IDs.Next()) }

// Restore implements blob.Store.
func (s *Store) Restore(id mail.ID) blob.Writer {
	w := &writer{s: s, id: id, sum: newSummer(id)}
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
	if w.file == nil && w.size+int64(len(p)) > blob.InMemory {
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
		w.sum.add(p[:n])
		total, p = total+n, p[n:]
		w.size += int64(n)
	}
	return total, nil
}

// take takes some octets of p into memory, and in a large body moves the piece
// that they filled to the file.
func (w *writer) take(p []byte) (int, error) {
	n, err := w.buf.add(p)
	if err != nil || w.file == nil || len(w.buf.chunks[0]) < chunkLen {
		return n, err
	}
	if err := w.file.append(w.buf.chunks[0]); err != nil {
		return 0, err
	}
	w.buf.chunks[0] = w.buf.chunks[0][:0]
	return n, nil
}

// spill moves what is in memory to a file and keeps one piece for what follows.
func (w *writer) spill() error {
	f, err := newSpool(w.s.opt.Spool)
	if err != nil {
		return err
	}
	w.file = f
	for _, c := range w.buf.chunks {
		if err := f.append(c); err != nil {
			return err
		}
	}
	w.buf.release()
	if err := w.buf.charge(chunkLen); err != nil {
		return err
	}
	w.buf.first[0] = take(&w.s.pools.chunk, chunkLen)[:0]
	w.buf.chunks = w.buf.first[:1]
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
	var p place
	var err error
	if w.file != nil {
		p, err = w.s.upload(ctx, w, m)
		w.file.close()
		w.buf.release()
	} else {
		p, err = w.s.submit(ctx, &job{
			body: indexed{id: w.id, length: w.size, meta: m}, sums: w.sum.finish(),
			chunks: w.buf.chunks, buf: &w.buf, done: make(chan result, 1),
		})
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
	if w.file != nil {
		w.file.close()
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
	var inFile int64
	if r.w.file != nil {
		inFile = r.w.file.size
	}
	var got int
	if r.at < inFile {
		var err error
		if got, err = r.w.file.readAt(p[:min(int64(len(p)), inFile-r.at)], r.at); err != nil {
			return 0, err
		}
	} else {
		at := int(r.at - inFile)
		got = copy(p, r.w.buf.chunks[at/chunkLen][at%chunkLen:])
	}
	r.at += int64(got)
	return got, nil
}
