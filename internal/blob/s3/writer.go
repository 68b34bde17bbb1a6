package s3

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/mail"
)

// writer implements blob.Writer.
type writer struct {
	staging.Body
	s    *Store
	id   mail.ID
	file *spool // nil up to blob.InMemory
}

// Create implements blob.Store.
func (s *Store) Create() blob.Writer { return s.Restore(s.opt.IDs.Next()) }

// Restore implements blob.Store.
func (s *Store) Restore(id mail.ID) blob.Writer {
	w := &writer{s: s, id: id}
	w.Init(&s.area, w)
	return w
}

// StartLarge implements staging.Owner.
func (w *writer) StartLarge() (_ staging.Large, err error) {
	w.file, err = newSpool(w.s.opt.Spool, w.id)
	return w.file, err
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, m blob.Meta) (blob.Body, error) {
	if err := w.Finish(); err != nil {
		w.Abort()
		return blob.Body{}, err
	}
	body := indexed{id: w.id, length: w.Size(), meta: m}
	var p place
	var err error
	if w.file != nil {
		p, err = w.s.upload(ctx, w.file, body)
		w.file.close()
	} else {
		p, err = w.s.submit(ctx, &job{
			body: body, sums: sumsOf(w.id, w.Blocks()...), chunks: w.Blocks(), held: &w.Body, done: make(chan result, 1),
		})
	}
	if err != nil {
		return blob.Body{}, fmt.Errorf("commit body %s: %w", w.id, err)
	}
	return blob.Body{ID: w.id, Size: w.Size(), Place: p.String()}, nil
}

// Abort implements blob.Writer.
func (w *writer) Abort() {
	if w.Body.Abort() && w.file != nil {
		w.file.close()
	}
}
