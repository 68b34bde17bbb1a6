package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the plain driver, to damage a database with

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/sqlite"
)

func TestCheckFindsARowWithoutItsParent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	schema := db.Schema{Package: "check", Steps: []db.Stmt{db.SQL(`
		CREATE TABLE parent (id INTEGER PRIMARY KEY);
		CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL REFERENCES parent (id));
		INSERT INTO parent VALUES (1);
		INSERT INTO child VALUES (7, 1);`)}}
	faults := func() (out []string) {
		d, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		if err := d.Migrate(t.Context(), schema); err != nil {
			t.Fatal(err)
		}
		if err := d.Check(t.Context(), func(f string) { out = append(out, f) }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := faults(); len(got) != 0 {
		t.Fatalf("a sound database has faults: %q", got)
	}
	raw, err := sql.Open("sqlite", path) // without foreign keys, as a careless tool
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(t.Context(), "DELETE FROM parent"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if got := faults(); len(got) != 1 || !strings.Contains(got[0], "row 7 of child") {
		t.Fatalf("faults = %q, want the one child without its parent", got)
	}
}
