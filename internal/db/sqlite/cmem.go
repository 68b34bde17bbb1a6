package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
)

// at turns an address in the library's memory, which Go's collector neither
// owns nor moves, into a pointer.
func at(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// view shows n bytes of the library's memory. They are gone as soon as the
// library reuses them.
func view(p uintptr, n int) []byte {
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(p)), n)
}

// alloc takes n bytes of the library's memory; zero if there is none.
func alloc(tls *libc.TLS, n int) uintptr { return libc.Xmalloc(tls, types.Size_t(max(1, n))) }

func release(tls *libc.TLS, p uintptr) {
	if p != 0 {
		libc.Xfree(tls, p)
	}
}

// cString copies s with a NUL behind it.
func cString(tls *libc.TLS, s string) (uintptr, error) {
	p := alloc(tls, len(s)+1)
	if p == 0 {
		return 0, errNoMemory
	}
	b := view(p, len(s)+1)
	copy(b, s)
	b[len(s)] = 0
	return p, nil
}
