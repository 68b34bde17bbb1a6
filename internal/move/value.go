package move

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
)

// kind is what a column holds.
type kind string

const (
	kindInteger kind = "integer"
	kindText    kind = "text"
	kindBytes   kind = "bytes"
)

// kindOf reads a type as either engine names it, "" if a copy does not know it.
func kindOf(declared string) kind {
	switch strings.ToLower(declared) {
	case "integer", "int", "bigint", "smallint":
		return kindInteger
	case "text", "character varying":
		return kindText
	case "blob", "bytea":
		return kindBytes
	}
	return ""
}

var errKind = errors.New("holds a value of another type")

// plain returns a value as every engine gives it back. The embedded engine may
// have bytes in a column of texts, and the other way round.
func (k kind) plain(v any) (any, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case int64:
		if k == kindInteger {
			return x, nil
		}
	case string:
		switch k {
		case kindText:
			return db.Text(x), nil
		case kindBytes:
			return []byte(x), nil
		}
	case []byte:
		switch k {
		case kindText:
			return db.Text(string(x)), nil
		case kindBytes:
			return x, nil
		}
	}
	return nil, fmt.Errorf("%w: %T instead of %s", errKind, v, k)
}

// Tags of values where they are encoded, in the order of their kinds.
const (
	tagNull = iota
	tagInteger
	tagText
	tagBytes
)

// appendValues encodes values so that equal ones, and only those, give equal
// octets. Keys are kept in this form, and digests are made over it.
func appendValues(dst []byte, values ...any) []byte {
	for _, v := range values {
		switch x := v.(type) {
		case int64:
			dst = binary.BigEndian.AppendUint64(append(dst, tagInteger), uint64(x))
		case string:
			dst = append(binary.AppendUvarint(append(dst, tagText), uint64(len(x))), x...)
		case []byte:
			dst = append(binary.AppendUvarint(append(dst, tagBytes), uint64(len(x))), x...)
		default:
			dst = append(dst, tagNull)
		}
	}
	return dst
}

var errKey = errors.New("the key that a copy has come to cannot be read")

// decodeValues is the inverse of appendValues.
func decodeValues(b []byte) ([]any, error) {
	var out []any
	for len(b) > 0 {
		tag := b[0]
		b = b[1:]
		switch tag {
		case tagNull:
			out = append(out, nil)
			continue
		case tagInteger:
			if len(b) < 8 {
				return nil, errKey
			}
			out, b = append(out, int64(binary.BigEndian.Uint64(b))), b[8:]
			continue
		}
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) || tag > tagBytes {
			return nil, errKey
		}
		value := b[n : n+int(size)]
		b = b[n+int(size):]
		if tag == tagText {
			out = append(out, string(value))
		} else {
			out = append(out, bytes.Clone(value))
		}
	}
	return out, nil
}

// compareKeys gives the order in which both engines list keys: integers by
// value, texts octet by octet.
func compareKeys(a, b []any) int {
	for i := range a {
		c := 0
		switch x := a[i].(type) {
		case int64:
			if y, ok := b[i].(int64); ok {
				c = cmp.Compare(x, y)
			}
		case string:
			if y, ok := b[i].(string); ok {
				c = strings.Compare(x, y)
			}
		case []byte:
			if y, ok := b[i].([]byte); ok {
				c = bytes.Compare(x, y)
			}
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// shown is a value for people, cut where it is long.
func shown(v any) string {
	const most = 60
	switch x := v.(type) {
	case nil:
		return "NULL"
	case int64:
		return strconv.FormatInt(x, 10)
	case []byte:
		return fmt.Sprintf("%d octets %x", len(x), x[:min(len(x), most/2)])
	case string:
		if len(x) > most {
			return fmt.Sprintf("%q... (%d octets)", x[:most], len(x))
		}
		return strconv.Quote(x)
	}
	return fmt.Sprint(v)
}

// size is how many octets a value takes in memory, about.
func size(v any) int {
	switch x := v.(type) {
	case string:
		return len(x) + 16
	case []byte:
		return len(x) + 24
	}
	return 8
}
