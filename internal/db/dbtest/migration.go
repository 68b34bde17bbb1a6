package dbtest

import (
	"errors"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
)

const (
	stepOne   = "CREATE TABLE first (id INTEGER PRIMARY KEY)"
	stepTwo   = "CREATE TABLE second (id INTEGER PRIMARY KEY, first INTEGER NOT NULL REFERENCES first (id)); CREATE INDEX second_first ON second (first)"
	stepThree = "INSERT INTO first (id) VALUES (1); INSERT INTO second (id, first) VALUES (1, 1)"
	stepBad   = "CREATE TABLE third (id INTEGER PRIMARY KEY); CREATE TABLE first (id INTEGER PRIMARY KEY)"
)

func steps(t *testing.T, d db.DB) (n int) {
	t.Helper()
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM schema_step"), nil, &n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func migrate(t *testing.T, d db.DB) {
	a := db.Schema{Package: "a", Steps: []db.Stmt{db.SQL(stepOne)}}
	other := db.Schema{Package: "other", Steps: []db.Stmt{db.SQL("CREATE TABLE other (id INTEGER PRIMARY KEY)")}}
	for range 2 {
		if err := d.Migrate(t.Context(), a, other); err != nil {
			t.Fatal(err)
		}
		if n := steps(t, d); n != 2 {
			t.Fatalf("%d steps, want 2", n)
		}
	}
	a.Steps = append(a.Steps, db.SQL(stepTwo), db.SQL(stepThree))
	for range 2 {
		if err := d.Migrate(t.Context(), a, other); err != nil {
			t.Fatal(err)
		}
		if n := steps(t, d); n != 4 {
			t.Fatalf("%d steps, want 4", n)
		}
	}
	var n int
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM second WHERE first = 1"), nil, &n)
	})
	if err != nil || n != 1 {
		t.Errorf("%d rows: %v", n, err)
	}
}

func migrateFails(t *testing.T, d db.DB) {
	a := db.Schema{Package: "a", Steps: []db.Stmt{db.SQL(stepOne), db.SQL(stepBad)}}
	if err := d.Migrate(t.Context(), a); err == nil {
		t.Fatal("a bad step passed")
	}
	if n := steps(t, d); n != 1 {
		t.Errorf("%d steps, want 1", n)
	}
	a.Steps[1] = db.SQL("CREATE TABLE third (id INTEGER PRIMARY KEY)")
	if err := d.Migrate(t.Context(), a); err != nil {
		t.Errorf("the step left something: %v", err)
	}
}

func migrateNewer(t *testing.T, d db.DB) {
	newer := db.Schema{Package: "a", Steps: []db.Stmt{db.SQL(stepOne), db.SQL(stepTwo)}}
	if err := d.Migrate(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	older := db.Schema{Package: "a", Steps: []db.Stmt{db.SQL(stepOne)}}
	fresh := db.Schema{Package: "b", Steps: []db.Stmt{db.SQL("CREATE TABLE b (id INTEGER PRIMARY KEY)")}}
	if err := d.Migrate(t.Context(), fresh, older); !errors.Is(err, db.ErrNewer) {
		t.Errorf("a newer database was taken: %v", err)
	}
	if n := steps(t, d); n != 2 {
		t.Errorf("%d steps, want 2: another package was migrated", n)
	}
}
