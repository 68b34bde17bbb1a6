package sqlite

import (
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// SQLite takes memory for each page that it caches, and for the 4.3 KiB of a page and
// what belongs to it the library's allocator has only places of 8 KiB. Here pages come
// from one piece instead, cut to size. It is all in use from the start, so that it is
// no larger than what the writer soon needs anyway; pages beyond it are taken one by one.

// setPagesAside has effect for the first database of a process.
func setPagesAside(tls *libc.TLS, pages int) error {
	// Statistics of memory are off by default; the answer tells whether the library
	// is initialized, which is when another database was here first.
	if configure(tls, lib.SQLITE_CONFIG_MEMSTATUS, int32(0)) != lib.SQLITE_OK {
		return nil
	}
	beside := alloc(tls, 4)
	if beside == 0 {
		return errNoMemory
	}
	defer release(tls, beside)
	if rc := configure(tls, lib.SQLITE_CONFIG_PCACHE_HDRSZ, beside); rc != lib.SQLITE_OK {
		return (&conn{tls: tls}).error(rc)
	}
	page := pageKiB<<10 + (int(*(*int32)(at(beside)))+7)&^7
	memory := alloc(tls, pages*page)
	if memory == 0 {
		return errNoMemory
	}
	rc := configure(tls, lib.SQLITE_CONFIG_PAGECACHE, memory, int32(page), int32(pages))
	return (&conn{tls: tls}).error(rc)
}

// configure sets an option of the whole library.
func configure(tls *libc.TLS, option int32, args ...any) (rc int32) {
	list := libc.NewVaList(args...)
	defer release(tls, list)
	return lib.Xsqlite3_config(tls, option, list)
}
