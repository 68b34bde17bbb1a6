package sqlite

import (
	"errors"
	"fmt"
	"syscall"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/hayauma/hayauma/internal/db"
)

var (
	errNoMemory = errors.New("sqlite: out of memory")
	errEnded    = errors.New("sqlite: the transaction has ended")
	errGone     = errors.New("sqlite: a write function ended its goroutine")
)

// sqlError is what SQLite said. It is one of the errors of package db as well,
// where that is the meaning of its code.
type sqlError struct {
	code    int32 // extended result code
	message string
	kind    error // db.ErrConflict ... or nil
}

func (e *sqlError) Error() string { return fmt.Sprintf("sqlite: %s (%d)", e.message, e.code) }

func (e *sqlError) Unwrap() error { return e.kind }

// error makes an error of a result code of c's last call.
func (c *conn) error(rc int32) error {
	if rc == lib.SQLITE_OK {
		return nil
	}
	e := &sqlError{code: rc, message: libc.GoString(lib.Xsqlite3_errstr(c.tls, rc))}
	var errno syscall.Errno
	if c.db != 0 {
		if ext := lib.Xsqlite3_extended_errcode(c.tls, c.db); ext&0xff == rc&0xff {
			e.code = ext
			e.message = libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db))
		}
		errno = syscall.Errno(lib.Xsqlite3_system_errno(c.tls, c.db))
	}
	e.kind = kind(e.code, errno)
	c.last = e
	return e
}

// kind maps a result code to the error of package db that it means.
func kind(code int32, errno syscall.Errno) error {
	switch code {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID:
		return db.ErrConflict
	case lib.SQLITE_IOERR_FSYNC, lib.SQLITE_IOERR_DIR_FSYNC:
		return nil
	case lib.SQLITE_IOERR_SHMSIZE: // the index of the log cannot grow; SQLite keeps no errno of that
		return db.ErrFull
	}
	switch code & 0xff {
	case lib.SQLITE_FULL:
		return db.ErrFull
	case lib.SQLITE_IOERR:
		// SQLite knows ENOSPC as FULL, but not an exceeded disk quota.
		if errno == syscall.ENOSPC || errno == syscall.EDQUOT {
			return db.ErrFull
		}
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return db.ErrCorrupt
	}
	return nil
}

// primary returns the primary result code of err, SQLITE_OK if it is none of
// SQLite's.
func primary(err error) int32 {
	if e, ok := errors.AsType[*sqlError](err); ok {
		return e.code & 0xff
	}
	return lib.SQLITE_OK
}

// unsynced reports whether err says that a sync failed. What the kernel did
// with those pages is unknown from then on.
func unsynced(err error) bool {
	e, ok := errors.AsType[*sqlError](err)
	return ok && (e.code == lib.SQLITE_IOERR_FSYNC || e.code == lib.SQLITE_IOERR_DIR_FSYNC)
}
