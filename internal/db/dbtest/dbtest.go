// Package dbtest gives tests an engine with tables, and holds the contract that
// every engine must pass.
package dbtest

import (
	"path/filepath"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/sqlite"
)

// New returns an engine with the tables of schemas in a folder of the test,
// closed when the test ends.
func New(t testing.TB, schemas ...db.Schema) db.DB {
	t.Helper()
	d := Embedded(t)
	if err := d.Migrate(t.Context(), schemas...); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return d
}

// Embedded returns an empty embedded engine.
func Embedded(t testing.TB) db.DB {
	t.Helper()
	d, err := sqlite.Open(t.Context(), sqlite.Options{
		Path:    filepath.Join(t.TempDir(), "hayauma.db"),
		Readers: 2,
		MinFree: func() int64 { return 0 }, // a test needs little, whatever the disk has
	})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}
