// Package dbtest gives tests an engine with tables, and holds the contract that
// every engine must pass.
package dbtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/postgres"
	"github.com/hayauma/hayauma/internal/db/sqlite"
	"github.com/hayauma/hayauma/internal/testkit"
)

// New returns an engine with the tables of schemas, closed when the test ends:
// PostgreSQL where testkit.PostgresEnv is set. `make test` runs the tests of all
// that keeps rows once with it and once without.
func New(t testing.TB, schemas ...db.Schema) db.DB {
	t.Helper()
	return migrated(t, Empty(t), schemas)
}

// NewEmbedded is New for what only that engine can show: its plans, or days in
// the bubble of testing/synctest, whose clock a connection would hold up.
func NewEmbedded(t testing.TB, schemas ...db.Schema) db.DB {
	t.Helper()
	return migrated(t, Embedded(t), schemas)
}

func migrated(t testing.TB, d db.DB, schemas []db.Schema) db.DB {
	t.Helper()
	if err := d.Migrate(t.Context(), schemas...); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return d
}

// Empty returns an engine without tables.
func Empty(t testing.TB) db.DB {
	t.Helper()
	if at := os.Getenv(testkit.PostgresEnv); at != "" {
		return Postgres(t, testkit.NewSchema(t, at))
	}
	return Embedded(t)
}

// Postgres returns the engine for a URL.
func Postgres(t testing.TB, at string) db.DB {
	t.Helper()
	d, err := postgres.Open(t.Context(), postgres.Options{URL: at, Writers: 4, Readers: 4})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	closeLater(t, d)
	return d
}

// Embedded returns an empty embedded engine in a folder of the test.
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
	closeLater(t, d)
	return d
}

func closeLater(t testing.TB, d db.DB) {
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}
