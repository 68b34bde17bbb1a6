package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"

	lib "modernc.org/sqlite/lib"
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

var (
	errNull   = errors.New("is NULL")
	errRange  = errors.New("does not fit")
	errNoRow  = errors.New("sqlite: no row to scan")
	errTarget = errors.New("cannot be scanned into this type")
)

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
	return st.assign(i, kind, dest)
}

// octets shows a text or bytes until the next step.
func (st *stmt) octets(i int32) []byte {
	// For bytes this is their address as well, and for a text in UTF-8 no copy.
	p := lib.Xsqlite3_column_blob(st.c.tls, st.p, i)
	return view(p, int(lib.Xsqlite3_column_bytes(st.c.tls, st.p, i)))
}

// assign handles the rarer targets: named types, any, pointers and scanners.
func (st *stmt) assign(i, kind int32, dest any) error {
	v, err := st.value(i, kind)
	if err != nil {
		return err
	}
	switch d := dest.(type) {
	case *any:
		*d = v
		return nil
	case sql.Scanner:
		return d.Scan(v)
	}
	target := reflect.ValueOf(dest)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return errTarget
	}
	return set(target.Elem(), v)
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

func set(target reflect.Value, v any) error {
	if target.Kind() == reflect.Pointer {
		if v == nil {
			target.SetZero()
			return nil
		}
		target.Set(reflect.New(target.Type().Elem()))
		return set(target.Elem(), v)
	}
	isBytes := target.Kind() == reflect.Slice && target.Type().Elem().Kind() == reflect.Uint8
	switch x := v.(type) {
	case nil:
		if !isBytes {
			return errNull
		}
		target.SetZero()
		return nil
	case int64:
		return setInt(target, x)
	case string:
		if target.Kind() == reflect.String {
			target.SetString(x)
			return nil
		}
		if isBytes {
			target.SetBytes([]byte(x))
			return nil
		}
	case []byte:
		if isBytes {
			target.SetBytes(x)
			return nil
		}
	}
	return errTarget
}

func setInt(target reflect.Value, x int64) error {
	switch target.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if target.OverflowInt(x) {
			return errRange
		}
		target.SetInt(x)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if x < 0 || target.OverflowUint(uint64(x)) {
			return errRange
		}
		target.SetUint(uint64(x))
	case reflect.Bool:
		target.SetBool(x != 0)
	default:
		return errTarget
	}
	return nil
}
