package db

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Plain is for engines: it returns an argument as one of the kinds that are
// stored: int64, string, []byte or nil. An error says that it is none.
func Plain(arg any) (any, error) {
	switch a := arg.(type) {
	case nil, int64:
		return a, nil
	case int:
		return int64(a), nil
	case string:
		return Text(a), nil
	case []byte:
		if a == nil {
			return nil, nil
		}
		return a, nil
	case bool:
		if a {
			return int64(1), nil
		}
		return int64(0), nil
	case driver.Valuer:
		v, err := a.Value()
		if err != nil {
			return nil, err
		}
		if _, again := v.(driver.Valuer); again {
			return nil, fmt.Errorf("%T gives no plain value", arg)
		}
		return Plain(v)
	}
	return reflected(arg)
}

// Text is what is stored of a text: octets that are not UTF-8, and NUL, which
// not every engine can keep, become U+FFFD in each of them.
func Text(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

// reflected handles named types and pointers.
func reflected(arg any) (any, error) {
	v := reflect.ValueOf(arg)
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() > math.MaxInt64 {
			return nil, fmt.Errorf("%d is more than 63 bits", v.Uint())
		}
		return int64(v.Uint()), nil
	case reflect.Bool:
		return Plain(v.Bool())
	case reflect.String:
		return Text(v.String()), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return Plain(v.Bytes())
		}
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return Plain(v.Elem().Interface())
	}
	return nil, fmt.Errorf("%T is no integer, text, bytes or NULL", arg)
}

var (
	errNull   = errors.New("is NULL")
	errRange  = errors.New("does not fit")
	errTarget = errors.New("cannot be scanned into this type")
)

// Assign is for engines: it stores a value of a kind that Plain returns into
// what dest points to.
func Assign(dest, v any) error {
	switch d := dest.(type) {
	case *int64:
		if x, ok := v.(int64); ok {
			*d = x
			return nil
		}
	case *string:
		if x, ok := v.(string); ok {
			*d = x
			return nil
		}
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
	return assign(target.Elem(), v)
}

func assign(target reflect.Value, v any) error {
	if target.Kind() == reflect.Pointer {
		if v == nil {
			target.SetZero()
			return nil
		}
		target.Set(reflect.New(target.Type().Elem()))
		return assign(target.Elem(), v)
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
		return assignInt(target, x)
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

func assignInt(target reflect.Value, x int64) error {
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
