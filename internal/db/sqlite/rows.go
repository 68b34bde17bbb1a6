package sqlite

import (
	"errors"
	"fmt"
	"slices"

	lib "modernc.org/sqlite/lib"

	"github.com/hayauma/hayauma/internal/db"
)

// rows is a result being read: db.Rows.
type rows struct {
	st    *stmt
	first bool // the first row was reached by the query itself
	end   bool
	err   error
}

func (r *rows) Next() bool {
	if r.end {
		return false
	}
	if r.first {
		r.first = false
		return true
	}
	switch rc := r.st.step(); rc {
	case lib.SQLITE_ROW:
		return true
	case lib.SQLITE_DONE:
	default:
		r.err = r.st.c.error(rc)
	}
	r.end = true
	return false
}

func (r *rows) Err() error { return r.err }

// Close may be called more than once.
func (r *rows) Close() error {
	if r.st == nil {
		return nil
	}
	st := r.st
	r.st, r.end = nil, true
	st.reset()
	if i := slices.Index(st.c.rows, r); i >= 0 {
		st.c.rows = slices.Delete(st.c.rows, i, i+1)
	}
	st.c.putBack(st)
	return nil
}

var errNoRow = errors.New("sqlite: no row to scan")

func (r *rows) Scan(dest ...any) error {
	if r.st == nil || r.end || r.first {
		return errNoRow
	}
	if len(dest) != r.st.columns {
		return fmt.Errorf("sqlite: %d targets for %d columns", len(dest), r.st.columns)
	}
	for i, d := range dest {
		if err := r.st.scan(int32(i), d); err != nil {
			return fmt.Errorf("sqlite: column %d into %T: %w", i+1, d, err)
		}
	}
	return nil
}

func (st *stmt) scan(i int32, dest any) error {
	kind := lib.Xsqlite3_column_type(st.c.tls, st.p, i)
	switch d := dest.(type) {
	case *int64:
		if kind == lib.SQLITE_INTEGER {
			*d = lib.Xsqlite3_column_int64(st.c.tls, st.p, i)
			return nil
		}
	case *string:
		if kind == lib.SQLITE_TEXT {
			*d = string(st.octets(i))
			return nil
		}
	case *[]byte:
		switch kind {
		case lib.SQLITE_NULL:
			*d = nil
			return nil
		case lib.SQLITE_BLOB, lib.SQLITE_TEXT:
			*d = append(make([]byte, 0, len(st.octets(i))), st.octets(i)...)
			return nil
		}
	}
	v, err := st.value(i, kind) // the rarer targets: named types, any, pointers, scanners
	if err != nil {
		return err
	}
	return db.Assign(dest, v)
}

// octets shows a text or bytes until the next step.
func (st *stmt) octets(i int32) []byte {
	// For bytes this is their address as well, and for a text in UTF-8 no copy.
	p := lib.Xsqlite3_column_blob(st.c.tls, st.p, i)
	return view(p, int(lib.Xsqlite3_column_bytes(st.c.tls, st.p, i)))
}

// value returns a column as int64, string, []byte or nil.
func (st *stmt) value(i, kind int32) (any, error) {
	switch kind {
	case lib.SQLITE_INTEGER:
		return lib.Xsqlite3_column_int64(st.c.tls, st.p, i), nil
	case lib.SQLITE_TEXT:
		return string(st.octets(i)), nil
	case lib.SQLITE_BLOB:
		return append([]byte{}, st.octets(i)...), nil
	case lib.SQLITE_NULL:
		return nil, nil
	}
	return nil, errors.New("is a floating point number")
}
