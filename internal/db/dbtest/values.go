package dbtest

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

func valueTable(t *testing.T, d db.DB) {
	t.Helper()
	err := d.Migrate(t.Context(), db.Schema{Package: "value", Steps: []db.Stmt{
		db.SQL("CREATE TABLE value (id INTEGER PRIMARY KEY, i INTEGER, t TEXT, b BLOB)"),
	}})
	if err != nil {
		t.Fatal(err)
	}
}

type (
	word  string
	octet []byte
	small int32
)

func values(t *testing.T, d db.DB) {
	valueTable(t, d)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	big := bytes.Repeat(all, 4096)
	rows := []struct {
		i int64
		t string
		b []byte
	}{
		{0, "", []byte{}},
		{math.MaxInt64, "早馬 は速い \U0001F40E", all},
		{math.MinInt64, strings.Repeat("long ", 100000), big},
		{-1, "1e3", []byte("text in bytes")},
	}
	for id, want := range rows {
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(db.SQL("INSERT INTO value (id, i, t, b) VALUES (?, ?, ?, ?)"), id, want.i, want.t, want.b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got := want
		got.i, got.t, got.b = 1, "x", []byte("x")
		err = d.Read(t.Context(), func(tx *db.Tx) error {
			return tx.Row(db.SQL("SELECT i, t, b FROM value WHERE id = ?"), []any{id}, &got.i, &got.t, &got.b)
		})
		if err != nil || got.i != want.i || got.t != want.t || !bytes.Equal(got.b, want.b) || got.b == nil {
			t.Errorf("row %d: %v, integer %d, text of %d, bytes of %d", id, err, got.i, len(got.t), len(got.b))
		}
	}
	named(t, d)
}

// named checks the types of the domain and NULL.
func named(t *testing.T, d db.DB) {
	t.Helper()
	var (
		id   mail.ID = 1 << 62
		w            = word("word")
		o            = octet{0, 255}
		yes  bool
		gotW word
		gotO octet
		gotI mail.ID
		s    small
		p    *string
		none = new(int64)
		nul  = []byte("x")
		a    any
	)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.Exec(db.SQL("INSERT INTO value (id, i, t, b) VALUES (?, ?, ?, ?)"), id, true, w, o); err != nil {
			return err
		}
		row := db.SQL("SELECT id, i, t, b FROM value WHERE id = ? AND t = ?")
		if err := tx.Row(row, []any{id, w}, &gotI, &yes, &gotW, &gotO); err != nil {
			return err
		}
		if err := tx.Row(row, []any{id, w}, &a, &s, &p, &gotO); err != nil {
			return err
		}
		if _, err := tx.Exec(db.SQL("INSERT INTO value (id, i, t, b) VALUES (9, ?, ?, ?)"), nil, (*string)(nil), []byte(nil)); err != nil {
			return err
		}
		return tx.Row(db.SQL("SELECT i, b FROM value WHERE id = 9 AND t IS NULL"), nil, &none, &nul)
	})
	switch {
	case err != nil:
		t.Error(err)
	case gotI != id || !yes || gotW != w || !bytes.Equal(gotO, o) || s != 1 || a != int64(id) || p == nil || *p != "word":
		t.Errorf("id %v %v, bool %t, text %q, bytes %v, small %d", gotI, a, yes, gotW, gotO, s)
	case none != nil || nul != nil:
		t.Errorf("NULL became %v and %v", none, nul)
	}
}

func targets(t *testing.T, d db.DB) {
	valueTable(t, d)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO value (id, i, t, b) VALUES (1, ?, ?, ?)"), int64(math.MaxInt64), "text", []byte{1})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Read(t.Context(), func(tx *db.Tx) error {
		for _, c := range []struct {
			column string
			dest   any
		}{
			{"i", new(int32)}, {"i", new(string)}, {"i", new([]byte)},
			{"t", new(int64)}, {"b", new(string)}, {"b", new(int)},
			{"NULL", new(string)}, {"NULL", new(int64)}, {"i, t", new(int64)},
		} {
			if err := tx.Row(db.SQL("SELECT "+c.column+" FROM value"), nil, c.dest); err == nil {
				t.Errorf("%s was scanned into %T", c.column, c.dest)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = d.Write(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.Exec(db.SQL("INSERT INTO value (id, i) VALUES (2, ?)"), uint64(math.MaxUint64)); err == nil {
			t.Error("64 bits were stored")
		}
		if _, err := tx.Exec(db.SQL("INSERT INTO value (id, i) VALUES (2, ?)"), 1.5); err == nil {
			t.Error("a fraction was stored")
		}
		if _, err := tx.Exec(db.SQL("INSERT INTO value (id, i) VALUES (2, ?)"), 1, 2); err == nil {
			t.Error("an argument too many was taken")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
