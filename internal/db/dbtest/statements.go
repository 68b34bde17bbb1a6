package dbtest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
)

func lists(t *testing.T, d db.DB) {
	things(t, d)
	const many = 5000
	var rows [][]any
	var ids []int64
	for id := range int64(many) {
		rows = append(rows, []any{id, id % 2, nil})
		ids = append(ids, id)
	}
	insert := db.Insert{Into: "thing", Columns: []string{"id", "owner", "name"}}
	find := db.Stmt{
		SQL: "SELECT id FROM thing WHERE owner = ? AND id IN (@ids) AND id < ? ORDER BY id",
	}
	update := db.SQL("UPDATE thing SET owner = ? WHERE id IN (@ids)")
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		if err := tx.Insert(insert, rows...); err != nil {
			return err
		}
		for _, n := range []int{0, 1, 2, 3, 100, many} {
			var got []int64
			in := db.In{Before: []any{1}, IDs: ids[:n], After: []any{many - 10}}
			err := tx.QueryIn(find, in, func(r db.Rows) error {
				got = append(got, 0)
				return r.Scan(&got[len(got)-1])
			})
			if err != nil {
				return err
			}
			if want := min(n/2, (many-10)/2); len(got) != want {
				t.Errorf("of %d ids %d are found, want %d", n, len(got), want)
			}
			for i, id := range got {
				if id != int64(2*i+1) {
					t.Fatalf("place %d has id %d", i, id)
				}
			}
		}
		changed, err := tx.ExecIn(update, db.In{Before: []any{7}, IDs: ids[:3001]})
		if changed != 3001 {
			t.Errorf("changed %d, want 3001", changed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func inserts(t *testing.T, d db.DB) {
	things(t, d)
	insert := db.Insert{Into: "thing", Columns: []string{"id", "owner", "name"}}
	id, total := 0, 0
	for _, n := range []int{0, 1, 2, 3, 63, 64, 65, 127, 1000} {
		var rows [][]any
		for range n {
			id++
			rows = append(rows, []any{id, n, fmt.Sprint("name ", id)})
		}
		if err := d.Write(t.Context(), func(tx *db.Tx) error { return tx.Insert(insert, rows...) }); err != nil {
			t.Fatalf("%d rows: %v", n, err)
		}
		if total += n; count(t, d) != total {
			t.Fatalf("after %d rows: %d in all, want %d", n, count(t, d), total)
		}
	}
	quoted := db.Insert{Into: `"thing"`, Columns: []string{`"id"`, `"owner"`, `"name"`}}
	id, total = id+2, total+2
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		return tx.Insert(quoted, []any{id - 1, 1, nil}, []any{id, 1, "quoted"})
	})
	if err != nil || count(t, d) != total {
		t.Fatalf("quoted names: %v", err)
	}
	insert.Conflict = "ON CONFLICT (id) DO NOTHING"
	err = d.Write(t.Context(), func(tx *db.Tx) error {
		return tx.Insert(insert, []any{1, 0, "again"}, []any{id + 1, 0, "new"}, []any{2, 0, "again too"})
	})
	if err != nil || count(t, d) != total+1 {
		t.Errorf("%d rows, want %d: %v", count(t, d), total+1, err)
	}
}

func conflicts(t *testing.T, d db.DB) {
	things(t, d)
	write := func(id int, name any) error {
		return d.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(db.SQL(addThing), id, 1, name)
			return err
		})
	}
	if err := errors.Join(write(1, "one"), write(2, nil), write(3, nil)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id   int
		name any
	}{{1, "other"}, {9, "one"}} {
		if err := write(c.id, c.name); !errors.Is(err, db.ErrConflict) {
			t.Errorf("%v: %v", c, err)
		}
	}
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO thing (id) VALUES (4)"))
		return err
	})
	if err == nil || errors.Is(err, db.ErrConflict) {
		t.Errorf("a missing value: %v", err)
	}
}

func noRows(t *testing.T, d db.DB) {
	things(t, d)
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT id FROM thing WHERE id = ?"), []any{1}, new(int))
	})
	if !errors.Is(err, db.ErrNoRows) {
		t.Error(err)
	}
}

func foreignKeys(t *testing.T, d db.DB) {
	things(t, d)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO part (thing, number) VALUES (1, 1)"))
		return err
	})
	if err == nil || errors.Is(err, db.ErrConflict) {
		t.Errorf("a part of nothing: %v", err)
	}
}

func nested(t *testing.T, d db.DB) {
	things(t, d)
	all := db.SQL("SELECT id FROM thing ORDER BY id")
	pairs, changed := 0, int64(0)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		pairs, changed = 0, 0
		for id := range int64(4) {
			if err := add(id)(tx); err != nil {
				return err
			}
		}
		var ids []int64
		rows, err := tx.Query(all)
		if err != nil {
			return err
		}
		err = db.Each(rows, func(r db.Rows) error {
			ids = append(ids, 0)
			return r.Scan(&ids[len(ids)-1])
		})
		if err != nil {
			return err
		}
		for range ids {
			inner, err := tx.Query(all)
			if err != nil {
				return err
			}
			if err := db.Each(inner, func(db.Rows) error { pairs++; return nil }); err != nil {
				return err
			}
			n, err := tx.Exec(db.SQL("UPDATE thing SET owner = owner + 1"))
			if err != nil {
				return err
			}
			changed += n
		}
		return nil
	})
	if err != nil || pairs != 16 || changed != 16 {
		t.Errorf("%d pairs, %d changed: %v", pairs, changed, err)
	}
}
