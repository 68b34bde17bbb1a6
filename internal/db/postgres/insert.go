package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/hayauma/hayauma/internal/db"
)

// inserts are the statements by which rows are added, one for each table and set
// of columns. All rows of a call travel as one array for each column: one
// statement, whatever their number.
type inserts struct {
	mu    sync.Mutex
	texts map[string]string // by table, columns and conflict
}

// text is the statement of an insert, "" if the types of its table are not known
// yet.
func (i *inserts) text(ins db.Insert) (key, text string) {
	key = ins.Into + " " + strings.Join(ins.Columns, ",") + " " + ins.Conflict
	i.mu.Lock()
	defer i.mu.Unlock()
	return key, i.texts[key]
}

func (i *inserts) keep(key, text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.texts == nil {
		i.texts = map[string]string{}
	}
	i.texts[key] = text
}

// Insert is db.Inserter's.
func (s *session) Insert(ins db.Insert, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	text, err := s.insertText(ins)
	if err != nil {
		return err
	}
	args := make([]any, len(ins.Columns))
	for c := range ins.Columns {
		if args[c], err = column(rows, c); err != nil {
			return fmt.Errorf("postgres: column %s of %s: %w", ins.Columns[c], ins.Into, err)
		}
	}
	_, err = s.Exec(text, args)
	return err
}

// insertText makes the statement with the types that the table has.
func (s *session) insertText(ins db.Insert) (string, error) {
	key, text := s.inserts.text(ins)
	if text != "" {
		return text, nil
	}
	types := map[string]string{}
	rows, err := s.Query(`SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped`, []any{ins.Into})
	if err != nil {
		return "", err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var name, kind string
		err := r.Scan(&name, &kind)
		types[name] = kind
		return err
	})
	if err != nil {
		return "", err
	}
	arrays := make([]string, len(ins.Columns))
	for c, name := range ins.Columns {
		kind := types[strings.Trim(name, `"`)]
		if kind == "" {
			return "", s.fail(fmt.Errorf("table %s has no column %s", ins.Into, name))
		}
		arrays[c] = "$" + strconv.Itoa(c+1) + "::" + kind + "[]"
	}
	text = "INSERT INTO " + ins.Into + " (" + strings.Join(ins.Columns, ", ") + ") SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")"
	if ins.Conflict != "" {
		text += " " + ins.Conflict
	}
	s.inserts.keep(key, text)
	return text, nil
}

// column gathers the values of one column in an array of their kind.
func column(rows [][]any, c int) (any, error) {
	plain := make([]any, len(rows))
	nulls := false
	var kind any
	for i, row := range rows {
		v, err := db.Plain(row[c])
		if err != nil {
			return nil, err
		}
		if plain[i] = v; v == nil {
			nulls = true
		} else {
			kind = v
		}
	}
	switch kind.(type) {
	case int64:
		return array[int64](plain, nulls)
	case string:
		return array[string](plain, nulls)
	case []byte:
		return array[[]byte](plain, false) // a nil slice is NULL
	}
	return make([]*string, len(rows)), nil // all NULL
}

func array[T any](plain []any, nulls bool) (any, error) {
	values := make([]T, len(plain))
	pointers := make([]*T, len(plain))
	for i, v := range plain {
		if v == nil {
			continue
		}
		x, ok := v.(T)
		if !ok {
			return nil, fmt.Errorf("a %T among values of another kind", v)
		}
		values[i], pointers[i] = x, &values[i]
	}
	if nulls {
		return pointers, nil
	}
	return values, nil
}
