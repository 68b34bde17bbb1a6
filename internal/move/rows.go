package move

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// copyTable copies the rows of a table that are not in the target yet.
func (m *mover) copyTable(ctx context.Context, t *table) error {
	s, err := m.step(ctx, "copy table "+t.name)
	if err != nil || s.state == ended {
		return err
	}
	after, err := decodeValues(s.after)
	if err != nil {
		return err
	}
	from := newCursor(t, m.o.From.DB, inSource, sliceRows)
	for s.state != ended {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part, err := from.read(ctx, after)
		if err != nil {
			return err
		}
		if n := len(part.rows); n > 0 {
			after = t.keyOf(part.rows[n-1])
			s.after = appendValues(nil, after...)
			s.done += int64(n)
		}
		if part.end {
			s.state = ended
		}
		err = m.write(ctx, func(tx *db.Tx) error {
			if err := tx.Insert(t.insert, part.rows...); err != nil {
				return err
			}
			return s.save(tx)
		})
		if err != nil {
			return fmt.Errorf("write table %s of %s: %w", t.name, inTarget, err)
		}
		m.tell(s)
	}
	return nil
}
