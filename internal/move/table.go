package move

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
)

// sqlColumns lists the columns of a table in their order: name, type, place in
// the primary key (0 = none), whether the engine fills it where an insert leaves
// it out, and whether it does so with a value that is computed. What PostgreSQL
// computes, such as the number of a transaction, is its own: no other database
// has a use for it.
var sqlColumns = db.Stmt{
	SQL: "SELECT name, type, pk, 0, 0 FROM pragma_table_info(?) ORDER BY cid",
	Postgres: `SELECT a.attname::text, format_type(a.atttypid, NULL),
	coalesce(array_position(i.indkey::smallint[], a.attnum) + 1, 0),
	d.oid IS NOT NULL OR a.attidentity <> '',
	a.attidentity <> '' OR a.attgenerated <> '' OR coalesce(position('(' IN pg_get_expr(d.adbin, d.adrelid)) > 0, false)
	FROM pg_attribute a
	JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
	JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
	LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
	LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
	WHERE c.relname = ? AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
}

// column is a column as an engine has it.
type column struct {
	name, declared string
	key            int // place in the primary key from 1, 0 = none
	filled         bool
	own            bool
}

// table is a table that both sides have.
type table struct {
	name    string
	columns []string
	kinds   []kind
	key     []int // indexes of the primary key's columns

	first, next, any db.Stmt
	insert           db.Insert
}

func columnsOf(ctx context.Context, d db.DB, name string) (list []column, err error) {
	err = d.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(sqlColumns, name)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var c column
			err := r.Scan(&c.name, &c.declared, &c.key, &c.filled, &c.own)
			list = append(list, c)
			return err
		})
	})
	return list, err
}

// keyed is a column of a primary key: where it stands in the row and in the key.
type keyed struct{ index, place int }

// The two sides in errors.
const (
	inSource = "the source"
	inTarget = "the target"
)

// findTable asks both sides about a table and refuses one that differs.
func (m *mover) findTable(ctx context.Context, name string) (*table, error) {
	from, err := columnsOf(ctx, m.o.From.DB, name)
	if err != nil {
		return nil, fmt.Errorf("columns of table %s in %s: %w", name, inSource, err)
	}
	to, err := columnsOf(ctx, m.o.To.DB, name)
	if err != nil {
		return nil, fmt.Errorf("columns of table %s in %s: %w", name, inTarget, err)
	}
	switch {
	case len(from) == 0:
		return nil, fmt.Errorf("%s has no table %s: migrate it first", inSource, name)
	case len(to) == 0:
		return nil, fmt.Errorf("%s has no table %s: migrate it first", inTarget, name)
	}
	t := &table{name: name}
	var key []keyed
	for _, c := range from {
		other, both := find(to, c.name)
		switch {
		case !both && c.filled, both && c.own && other.own:
			continue
		case !both:
			return nil, fmt.Errorf("column %s of table %s: %s does not have it", c.name, name, inTarget)
		}
		k := kindOf(c.declared)
		switch {
		case k == "":
			return nil, fmt.Errorf("column %s of table %s has the type %s, which a copy does not know", c.name, name, c.declared)
		case k != kindOf(other.declared) || c.key != other.key:
			return nil, fmt.Errorf("column %s of table %s differs: %s has %s (place %d in the key), %s has %s (place %d)",
				c.name, name, inSource, c.declared, c.key, inTarget, other.declared, other.key)
		}
		if c.key > 0 {
			key = append(key, keyed{index: len(t.columns), place: c.key})
		}
		t.columns, t.kinds = append(t.columns, c.name), append(t.kinds, k)
	}
	for _, c := range to {
		if _, both := find(from, c.name); !both && !c.filled {
			return nil, fmt.Errorf("column %s of table %s: %s does not have it", c.name, name, inSource)
		}
	}
	if len(key) == 0 {
		return nil, fmt.Errorf("table %s has no primary key, so its rows have no order in which they could be copied", name)
	}
	slices.SortFunc(key, func(a, b keyed) int { return cmp.Compare(a.place, b.place) })
	for _, k := range key {
		t.key = append(t.key, k.index)
	}
	t.prepare()
	return t, nil
}

func find(list []column, name string) (column, bool) {
	i := slices.IndexFunc(list, func(c column) bool { return c.name == name })
	if i < 0 {
		return column{}, false
	}
	return list[i], true
}

// prepare writes the statements of a table.
func (t *table) prepare() {
	columns := make([]string, len(t.columns))
	for i, c := range t.columns {
		columns[i] = quoted(c)
	}
	key := make([]string, len(t.key))
	for i, k := range t.key {
		key[i] = columns[k]
	}
	list, order := strings.Join(columns, ", "), strings.Join(key, ", ")
	behind := order + " > ?"
	if len(key) > 1 {
		behind = "(" + order + ") > (" + strings.Repeat("?, ", len(key)-1) + "?)"
	}
	t.first = db.SQL("SELECT " + list + " FROM " + quoted(t.name) + " ORDER BY " + order + " LIMIT ?")
	t.next = db.SQL("SELECT " + list + " FROM " + quoted(t.name) + " WHERE " + behind + " ORDER BY " + order + " LIMIT ?")
	t.any = db.SQL("SELECT 1 FROM " + quoted(t.name) + " LIMIT 1")
	t.insert = db.Insert{Into: quoted(t.name), Columns: columns}
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// keyOf returns the values of a row's key.
func (t *table) keyOf(row []any) []any {
	key := make([]any, len(t.key))
	for i, k := range t.key {
		key[i] = row[k]
	}
	return key
}

// shownKey is a row's key for people: "mailbox 7, uid 12".
func (t *table) shownKey(row []any) string {
	parts := make([]string, len(t.key))
	for i, k := range t.key {
		parts[i] = t.columns[k] + " " + shown(row[k])
	}
	return strings.Join(parts, ", ")
}
