package move

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// Bounds of a slice: what one transaction of the target takes, and what is held
// in memory of either side.
const (
	sliceRows   = 500
	sliceOctets = 2 << 20
)

// slice is some rows of a table in the order of its key.
type slice struct {
	rows [][]any
	end  bool // there are no more behind them
}

// cursor reads the slices of a table from one side.
type cursor struct {
	t    *table
	d    db.DB
	side string
	most int // rows of a slice
	rows int // rows to ask for next, fewer where they are long
}

func newCursor(t *table, d db.DB, side string, most int) *cursor {
	return &cursor{t: t, d: d, side: side, most: most, rows: most}
}

var errEnough = errors.New("the slice is full")

// read returns the rows behind a key, nil = from the start.
func (c *cursor) read(ctx context.Context, after []any) (slice, error) {
	var s slice
	var octets int
	err := c.d.Read(ctx, func(tx *db.Tx) error {
		s, octets = slice{rows: make([][]any, 0, c.rows)}, 0
		st, args := c.t.first, []any{c.rows}
		if after != nil {
			st, args = c.t.next, append(append([]any{}, after...), c.rows)
		}
		rows, err := tx.Query(st, args...)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			row, err := c.t.scan(r)
			if err != nil {
				return err
			}
			s.rows = append(s.rows, row)
			for _, v := range row {
				octets += size(v)
			}
			if octets >= sliceOctets {
				return errEnough
			}
			return nil
		})
	})
	switch {
	case err == nil:
		s.end = len(s.rows) < c.rows
		c.rows = min(2*c.rows, c.most)
	case errors.Is(err, errEnough):
		// Rows that were asked for and not taken were read in vain: ask for as
		// many as fit.
		c.rows = len(s.rows)
	default:
		return s, fmt.Errorf("read table %s of %s: %w", c.t.name, c.side, err)
	}
	return s, nil
}

// scan reads a row in the form that both engines store.
func (t *table) scan(r db.Rows) ([]any, error) {
	row := make([]any, len(t.columns))
	dest := make([]any, len(row))
	for i := range row {
		dest[i] = &row[i]
	}
	if err := r.Scan(dest...); err != nil {
		return nil, err
	}
	for _, k := range t.key {
		if text, ok := row[k].(string); ok && db.Text(text) != text {
			return nil, fmt.Errorf("row %s: the key holds octets that are no text: correct it in the source first", t.shownKey(row))
		}
	}
	for i, v := range row {
		plain, err := t.kinds[i].plain(v)
		if err != nil {
			return nil, fmt.Errorf("row %s: column %s: %w", t.shownKey(row), t.columns[i], err)
		}
		row[i] = plain
	}
	return row, nil
}
