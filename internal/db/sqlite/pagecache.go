package sqlite

import (
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// SQLite takes memory for each page that it caches, and for the 4.3 KiB of a page and
// what belongs to it the library's allocator has only places of 8 KiB. Here the pages
// of all connections come from one piece instead, cut to size: half the memory for
// the same caches, all of it in use from the start.

// spareKiB is for pages above the caches' sizes: SQLite goes beyond them while all
// that it holds is in use, and keeps a few places for that.
const spareKiB = 128

// setUp prepares the library, once in a process: later calls find it prepared. Pages
// for which the first database's memory is too little are taken one by one.
func setUp(tls *libc.TLS, cachesKiB int) error {
	// This mutex can be had before the library is initialized.
	first := lib.Xsqlite3_mutex_alloc(tls, lib.SQLITE_MUTEX_STATIC_APP1)
	lib.Xsqlite3_mutex_enter(tls, first)
	defer lib.Xsqlite3_mutex_leave(tls, first)
	if err := setPagesAside(tls, (cachesKiB+spareKiB)/pageKiB); err != nil {
		return err
	}
	return useWALBuffer(tls) // initializes the library
}

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
