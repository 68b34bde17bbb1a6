package sqlite

import (
	"testing"

	"github.com/hayauma/hayauma/internal/db"
)

// TestTheWarmReaderIsNext: reads one after the other share one page cache, whatever
// ran at once before.
func TestTheWarmReaderIsNext(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	ctx, depth := t.Context(), 0
	var nested func(*db.Tx) error
	nested = func(*db.Tx) error {
		if depth++; depth < 4 {
			return d.Read(ctx, nested)
		}
		return nil
	}
	if err := d.Read(ctx, nested); err != nil {
		t.Fatal(err)
	}
	used := map[*conn]bool{}
	for range 20 {
		c, err := d.readers.get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		used[c] = true
		d.readers.put(c)
	}
	if len(used) != 1 {
		t.Errorf("%d readers were used in turn", len(used))
	}
}
