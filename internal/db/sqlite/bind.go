package sqlite

import (
	"fmt"
	"math"

	lib "modernc.org/sqlite/lib"

	"github.com/hayauma/hayauma/internal/db"
)

// value is an argument in one of the kinds that are stored.
type value struct {
	kind byte // 'i', 't', 'b' or 0 for NULL
	i    int64
	t    string
	b    []byte
}

// bind sets all arguments. Texts and bytes are copied into the statement's own
// library memory, which stays as it is until the next bind.
func (st *stmt) bind(args []any) error {
	if len(args) != st.params {
		return fmt.Errorf("sqlite: %d arguments for %d parameters", len(args), st.params)
	}
	if err := st.room(args); err != nil {
		return err
	}
	used := 0
	for i, arg := range args {
		v, err := valueOf(arg)
		if err != nil {
			return fmt.Errorf("sqlite: argument %d: %w", i+1, err)
		}
		var rc int32
		n := int32(i + 1)
		switch v.kind {
		case 'i':
			rc = lib.Xsqlite3_bind_int64(st.c.tls, st.p, n, v.i)
		case 't':
			at := st.arena + uintptr(used)
			used += copy(view(at, len(v.t)), v.t)
			rc = lib.Xsqlite3_bind_text(st.c.tls, st.p, n, at, int32(len(v.t)), 0)
		case 'b':
			at := st.arena + uintptr(used)
			used += copy(view(at, len(v.b)), v.b)
			rc = lib.Xsqlite3_bind_blob(st.c.tls, st.p, n, at, int32(len(v.b)), 0)
		default:
			rc = lib.Xsqlite3_bind_null(st.c.tls, st.p, n)
		}
		if rc != lib.SQLITE_OK {
			return st.c.error(rc)
		}
	}
	return nil
}

// room makes the arena large enough for all texts and bytes of args. It is
// never empty, because the library takes a null address for NULL.
func (st *stmt) room(args []any) error {
	need := 0
	for _, arg := range args {
		switch a := arg.(type) {
		case []byte:
			need += len(a)
		case int64, int, bool, nil:
		default:
			if v, err := valueOf(arg); err == nil {
				need += len(v.t) + len(v.b)
			}
		}
	}
	if need > math.MaxInt32 {
		return fmt.Errorf("sqlite: arguments of %d bytes", need)
	}
	if st.params == 0 || need <= st.size && st.arena != 0 {
		return nil
	}
	size := max(64, 2*need)
	if need > arenaKept {
		size = need
	}
	lib.Xsqlite3_clear_bindings(st.c.tls, st.p)
	release(st.c.tls, st.arena)
	st.size = 0
	if st.arena = alloc(st.c.tls, size); st.arena == 0 {
		return errNoMemory
	}
	st.size = size
	return nil
}

func integer(i int64) value { return value{kind: 'i', i: i} }

// valueOf takes the common kinds without an allocation.
func valueOf(arg any) (value, error) {
	switch a := arg.(type) {
	case nil:
		return value{}, nil
	case int64:
		return integer(a), nil
	case int:
		return integer(int64(a)), nil
	case string:
		return value{kind: 't', t: db.Text(a)}, nil
	case []byte:
		if a == nil {
			return value{}, nil
		}
		return value{kind: 'b', b: a}, nil
	}
	plain, err := db.Plain(arg)
	if err != nil {
		return value{}, err
	}
	return valueOf(plain)
}
