package move

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/db"
)

func TestValuesComeBack(t *testing.T) {
	t.Parallel()
	for _, values := range [][]any{
		nil,
		{nil},
		{int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64)},
		{"", "text", []byte{}, []byte("text"), nil, "早馬"},
	} {
		b := appendValues(nil, values...)
		got, err := decodeValues(b)
		if err != nil || cmp.Diff(values, got) != "" {
			t.Errorf("%#v became %#v, %v", values, got, err)
		}
		for n := 1; n < len(b); n++ {
			if got, err := decodeValues(b[:n]); err == nil && len(got) >= len(values) {
				t.Errorf("%x was cut to %#v", b[:n], got)
			}
		}
	}
	if _, err := decodeValues([]byte{9, 1, 1}); err == nil {
		t.Error("an unknown tag was read")
	}
}

func TestDeclaredTables(t *testing.T) {
	t.Parallel()
	got := declaredTables([]db.Schema{
		{Package: "a", Steps: []db.Stmt{
			db.SQL(`CREATE TABLE a (id INTEGER PRIMARY KEY); create table if not exists "b" (id INTEGER); INSERT INTO a (id) VALUES (1)`),
			{SQL: "CREATE TABLE a_new (id INTEGER); INSERT INTO a_new (id) SELECT id FROM a; DROP TABLE a; ALTER TABLE a_new RENAME TO a",
				Postgres: "ALTER TABLE a ADD COLUMN x INTEGER; ALTER TABLE a RENAME COLUMN x TO y"},
		}},
		{Package: "c", Steps: []db.Stmt{
			db.SQL("CREATE TABLE c (id INTEGER PRIMARY KEY, x INTEGER REFERENCES b (id)); CREATE INDEX c_x ON c (x)"),
			db.SQL("INSERT INTO c VALUES (2, 3); ALTER TABLE c RENAME TO d; DROP TABLE IF EXISTS e"),
		}},
	})
	if want := []string{"b", "a", "d"}; !slices.Equal(got.tables, want) {
		t.Errorf("tables %v, want %v", got.tables, want)
	}
	if got.seeded["a"] || got.seeded["b"] || !got.seeded["d"] {
		t.Errorf("seeded %v", got.seeded)
	}
}
