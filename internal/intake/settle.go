package intake

import (
	"context"

	"github.com/hayauma/hayauma/internal/blob"
)

// end ends the body of a transaction. Where the store is a Settler, it becomes durable
// while the rows of its group are written: one sync less to wait for one after the
// other, and one for all of the group.
func (in *Intake) end(ctx context.Context, w blob.Writer, m blob.Meta) (blob.Body, error) {
	if p, ok := w.(blob.Preparer); ok && in.settler != nil {
		return p.Prepare(m)
	}
	return w.Commit(ctx, m)
}

// settleBodies writes the bodies of a group that end has left to it. Durable waits for
// their sync: ask it before the commit.
func (in *Intake) settleBodies(group []*entry) (durable func() error, err error) {
	if in.settler == nil {
		return func() error { return nil }, nil
	}
	bodies := make([]*blob.Body, len(group))
	for i, e := range group {
		bodies[i] = &e.body
	}
	if durable, err = in.settler.Settle(bodies); err != nil {
		return func() error { return err }, err
	}
	return durable, nil
}
