package move_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/move"
	"github.com/hayauma/hayauma/internal/testkit"
)

// Every table that the domain's migrations make is among those that the tests
// expect to arrive, with all its columns.
func TestAllTablesAreExpected(t *testing.T) {
	t.Parallel()
	d := dbtest.NewEmbedded(t, domain()...)
	var got, want []string
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		rows, err := tx.Query(db.SQL(`SELECT t.name || ': ' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
			WHERE t.type = 'table' AND t.name <> 'schema_step'`))
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var name string
			err := r.Scan(&name)
			got = append(got, name)
			return err
		})
	})
	must(t, err)
	for _, table := range tables {
		for _, column := range strings.Fields(table.columns) {
			want = append(want, table.name+": "+column)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the tests expect and what the migrations make (-tests +migrations):\n%s", diff)
	}
}

// thing is an installation with one table.
func thing(t *testing.T, d db.DB, sql string) place {
	t.Helper()
	must(t, d.Migrate(t.Context(), db.Schema{Package: "thing", Steps: []db.Stmt{db.SQL(sql)}}))
	return empty(t, d)
}

func thingOptions(from, to place) move.Options {
	o := options(from.Side, to.Side)
	o.Schemas = []db.Schema{{Package: "thing", Steps: []db.Stmt{db.SQL("CREATE TABLE thing (")}}}
	return o
}

func TestTablesThatDiffer(t *testing.T) {
	t.Parallel()
	const plain = "CREATE TABLE thing (a INTEGER NOT NULL, b TEXT NOT NULL, PRIMARY KEY (b, a))"
	for name, c := range map[string]struct{ from, to, want string }{
		"a column too few":  {plain, "CREATE TABLE thing (b TEXT NOT NULL PRIMARY KEY)", "column a of table thing: the target does not have it"},
		"a column too many": {"CREATE TABLE thing (b TEXT NOT NULL PRIMARY KEY)", plain, "column a of table thing: the source does not have it"},
		"another type":      {plain, "CREATE TABLE thing (a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (b, a))", "column a of table thing differs"},
		"another key":       {plain, "CREATE TABLE thing (a INTEGER NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b))", "differs"},
		"no key":            {"CREATE TABLE thing (a INTEGER)", "CREATE TABLE thing (a INTEGER)", "no primary key"},
		"no table":          {plain, "CREATE TABLE other (a INTEGER)", "the target has no table thing"},
		"an unknown type":   {"CREATE TABLE thing (a REAL PRIMARY KEY)", "CREATE TABLE thing (a REAL PRIMARY KEY)", "a copy does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := thing(t, dbtest.Empty(t), c.from), thing(t, dbtest.Empty(t), c.to)
			_, err := move.Run(t.Context(), thingOptions(from, to))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			wantStage(t, to.DB, move.None)
		})
	}
}

// Keys of several columns, in another order than those, whose texts sort octet by
// octet on both engines; rows so long that few make a slice.
func TestKeysAndLongRows(t *testing.T) {
	t.Parallel()
	const sql = "CREATE TABLE thing (a INTEGER, n INTEGER NOT NULL, b TEXT NOT NULL, c BLOB NOT NULL, long BLOB, PRIMARY KEY (b, n, c))"
	from, to := thing(t, dbtest.Embedded(t), sql), thing(t, dbtest.Empty(t), sql)
	var rows [][]any
	for _, b := range []string{"", "a", "B", "ä", "早", "a b", "a-b", "A", "\U0001F40E", "\uffff"} {
		for n := range 3 {
			for _, c := range [][]byte{{}, {0}, {255}, {0, 1}} {
				rows = append(rows, []any{nil, n - 1, b, c, make([]byte, 60_000)})
			}
		}
	}
	must(t, from.DB.Write(t.Context(), func(tx *db.Tx) error {
		return tx.Insert(db.Insert{Into: "thing", Columns: []string{"a", "n", "b", "c", "long"}}, rows...)
	}))
	o := thingOptions(from, to)
	slices := 0
	o.Progress = func(p move.Progress) {
		if p.Name == "copy table thing" {
			slices++
		}
	}
	r := run(t, o)
	if r.Tables[0].Rows != int64(len(rows)) || slices < 4 {
		t.Errorf("%+v in %d slices", r.Tables, slices)
	}
	back := thing(t, dbtest.Embedded(t), sql)
	again := run(t, thingOptions(to, back))
	if again.Tables[0] != r.Tables[0] {
		t.Errorf("%+v, then %+v", r.Tables, again.Tables)
	}
}

// The embedded engine may hold texts that PostgreSQL cannot, and bytes where a
// text should be.
func TestTextsThatAreNone(t *testing.T) {
	t.Parallel()
	const sql = "CREATE TABLE thing (id TEXT NOT NULL PRIMARY KEY, t TEXT, b BLOB)"
	from, to := thing(t, dbtest.Embedded(t), sql), thing(t, dbtest.Empty(t), sql)
	exec(t, from.DB, "INSERT INTO thing (id, t, b) VALUES ('one', CAST(x'41ff0042' AS TEXT), 'text'), ('two', x'4142', x'00ff'), ('three', '', x'')")
	run(t, thingOptions(from, to))
	var text string
	var b []byte
	to.row(t, "SELECT t, b FROM thing WHERE id = 'one'", nil, &text, &b)
	if text != "A\ufffd\ufffdB" || string(b) != "text" {
		t.Errorf("%q, %q", text, b)
	}
	to.row(t, "SELECT t, b FROM thing WHERE id = 'two'", nil, &text, &b)
	if text != "AB" || string(b) != "\x00\xff" {
		t.Errorf("%q, %q", text, b)
	}
	exec(t, from.DB, "INSERT INTO thing (id) VALUES (CAST(x'41ff' AS TEXT))")
	next := thing(t, dbtest.Empty(t), sql)
	_, err := move.Run(t.Context(), thingOptions(from, next))
	if err == nil || !strings.Contains(err.Error(), "the key holds octets that are no text") {
		t.Errorf("%v", err)
	}
	wantStage(t, next.DB, move.Copying)
}

// A column that PostgreSQL fills with what only it knows stays its own, towards
// the embedded engine, from it, and from one PostgreSQL to another.
func TestColumnsOfPostgresAlone(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	empty := func() db.DB { return dbtest.Postgres(t, testkit.NewSchema(t, server.URL(""))) }
	const plain = "CREATE TABLE thing (id INTEGER PRIMARY KEY, t TEXT)"
	const hidden = `CREATE TABLE thing (id INTEGER PRIMARY KEY, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), t TEXT,
		zero INTEGER NOT NULL DEFAULT 0, twice BIGINT GENERATED ALWAYS AS (id * 2) STORED)`
	from := thing(t, dbtest.Embedded(t), plain)
	exec(t, from.DB, "INSERT INTO thing (id, t) VALUES (-1, 'a'), (2, NULL)")
	var first move.Report
	for i, to := range []place{thing(t, empty(), hidden), thing(t, empty(), hidden)} {
		r := run(t, thingOptions(from, to))
		var n, twice int
		to.row(t, "SELECT count(*), sum(twice)::bigint FROM thing WHERE xid IS NOT NULL", nil, &n, &twice)
		if n != 2 || twice != 2 || r.Tables[0].Rows != 2 {
			t.Errorf("target %d: %d rows, %d; %+v", i, n, twice, r.Tables)
		}
		from, first = to, r
	}
	back := thing(t, dbtest.Embedded(t), plain)
	if r := run(t, thingOptions(from, back)); r.Tables[0].Rows != first.Tables[0].Rows {
		t.Errorf("%+v", r.Tables)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	to := embedded(t)
	o := options(embedded(t).Side, to.Side)
	o.References = []blob.Reference{{Table: "x; DROP TABLE account", Column: "body"}}
	if _, err := move.Run(t.Context(), o); err == nil {
		t.Error("a reference that is none was taken")
	}
	o.References = nil
	if _, err := move.Run(t.Context(), o); err == nil || errors.Is(err, move.ErrNotEmpty) {
		t.Errorf("without references: %v", err)
	}
	wantStage(t, dbtest.Empty(t), move.None)
}
