package pack

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
	s     *Store
	id    mail.ID
	large *largeFile // nil up to blob.InMemory
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
	w.large, err = w.s.createLarge(w.id)
	return w.large, err
}

// Commit implements blob.Writer.
func (w *writer) Commit(ctx context.Context, m blob.Meta) (blob.Body, error) {
	j, p, err := w.finish(m)
	if err == nil && j != nil {
		j.done = make(chan result, 1)
		p, err = w.s.submit(ctx, j)
	}
	return w.body(p, err)
}

// Prepare implements blob.Preparer.
func (w *writer) Prepare(m blob.Meta) (blob.Body, error) {
	j, p, err := w.finish(m)
	if err != nil || j == nil {
		return w.body(p, err)
	}
	w.s.prepared.put(j)
	return blob.Body{ID: w.id, Size: w.Size()}, nil
}

// finish ends the body. It returns the job that is left, or the place of one that is
// durable in a file of its own.
func (w *writer) finish(m blob.Meta) (*job, place, error) {
	if err := w.Finish(); err != nil {
		w.Abort()
		return nil, place{}, err
	}
	e := entry{ID: w.id, Size: w.Size(), Stored: w.Size(), Meta: m}
	if w.large != nil {
		p, err := w.large.commit(e)
		return nil, p, err
	}
	e.Sum = w.s.sums.body(w.id, w.Blocks()...)
	return &job{head: e, blocks: w.Blocks(), held: &w.Body}, place{}, nil
}

func (w *writer) body(p place, err error) (blob.Body, error) {
	if err != nil {
		return blob.Body{}, fmt.Errorf("commit body %s: %w", w.id, err)
	}
	return blob.Body{ID: w.id, Size: w.Size(), Place: p.String()}, nil
}

// Abort implements blob.Writer.
func (w *writer) Abort() {
	if w.Body.Abort() && w.large != nil {
		w.large.drop()
	}
}
