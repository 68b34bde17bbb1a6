package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/hayauma/hayauma/internal/datasync"
)

// SQLite writes its log page by page, in two calls each, which costs more than the
// octets do. Here they are gathered and go out in one call, at the latest before
// the log is synced or read. Nobody else looks at them earlier: what another
// connection may see of the log is told to it behind the sync of a commit.
//
// All of it lives in the library's memory, since the library calls it back: a VFS
// that opens files as the default one does, and takes over some methods of the log.

// walVFS is the name of that VFS.
const walVFS = "hayauma"

// walBuffer is how many octets of the log are gathered: the default VFS writes less
// than 128 KiB at once.
const walBuffer = 127 << 10

// walState stands behind the table of methods that a log has.
type walState struct {
	methods uintptr // of the default VFS
	buf     uintptr // walBuffer octets, once something was written
	n       int64   // octets in buf
	off     int64   // where they go
}

const (
	methodsSize = unsafe.Sizeof(lib.Tsqlite3_io_methods{})
	stateSize   = unsafe.Sizeof(walState{})
)

// useWALBuffer makes the VFS known to the library, once in a process.
func useWALBuffer(tls *libc.TLS) error {
	name, err := cString(tls, walVFS)
	if err != nil {
		return err
	}
	if lib.Xsqlite3_vfs_find(tls, name) != 0 {
		release(tls, name)
		return nil
	}
	base := lib.Xsqlite3_vfs_find(tls, 0)
	p := alloc(tls, int(unsafe.Sizeof(lib.Tsqlite3_vfs{})))
	if base == 0 || p == 0 {
		return errNoMemory
	}
	v := (*lib.Tsqlite3_vfs)(at(p))
	*v = *(*lib.Tsqlite3_vfs)(at(base))
	v.FpNext, v.FzName, v.FpAppData = 0, name, base
	v.FxOpen = callback(walOpen)
	if rc := lib.Xsqlite3_vfs_register(tls, p, 0); rc != lib.SQLITE_OK {
		return errNoMemory
	}
	return nil
}

// callback is a function as the library knows it.
func callback[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

// method is a function of the library as Go knows it.
func method[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

type (
	fileCall  = func(tls *libc.TLS, file uintptr) int32
	flagCall  = func(tls *libc.TLS, file uintptr, flags int32) int32
	sizeCall  = func(tls *libc.TLS, file uintptr, size int64) int32
	wordCall  = func(tls *libc.TLS, file, word uintptr) int32
	octetCall = func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32
	askCall   = func(tls *libc.TLS, file uintptr, op int32, arg uintptr) int32
	openCall  = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
)

func walOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	base := (*lib.Tsqlite3_vfs)(at(vfs)).FpAppData
	rc := method[openCall]((*lib.Tsqlite3_vfs)(at(base)).FxOpen)(tls, base, name, file, flags, out)
	f := (*lib.Tsqlite3_file)(at(file))
	if rc != lib.SQLITE_OK || flags&lib.SQLITE_OPEN_WAL == 0 || f.FpMethods == 0 {
		return rc
	}
	table := alloc(tls, int(methodsSize+stateSize))
	if table == 0 {
		return rc // it is written page by page
	}
	m := (*lib.Tsqlite3_io_methods)(at(table))
	*m = *(*lib.Tsqlite3_io_methods)(at(f.FpMethods))
	m.FxClose, m.FxRead, m.FxWrite = callback(walClose), callback(walRead), callback(walWrite)
	m.FxTruncate, m.FxSync, m.FxFileSize = callback(walTruncate), callback(walSync), callback(walFileSize)
	m.FxFileControl = callback(walFileControl)
	*(*walState)(at(table + methodsSize)) = walState{methods: f.FpMethods}
	f.FpMethods = table
	return rc
}

// walOf is the state of a log, and what the default VFS does with it.
func walOf(file uintptr) (*walState, *lib.Tsqlite3_io_methods) {
	w := (*walState)(at((*lib.Tsqlite3_file)(at(file)).FpMethods + methodsSize))
	return w, (*lib.Tsqlite3_io_methods)(at(w.methods))
}

func walWrite(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32 {
	w, base := walOf(file)
	if w.buf == 0 {
		w.buf = alloc(tls, walBuffer)
	}
	if w.n > 0 && off != w.off+w.n || w.n+int64(n) > walBuffer {
		if rc := w.flush(tls, file, base); rc != lib.SQLITE_OK {
			return rc
		}
	}
	if w.buf == 0 || n > walBuffer {
		return method[octetCall](base.FxWrite)(tls, file, buf, n, off)
	}
	if w.n == 0 {
		w.off = off
	}
	copy(view(w.buf, walBuffer)[w.n:], view(buf, int(n)))
	w.n += int64(n)
	return lib.SQLITE_OK
}

// flush writes what was gathered. What fails is not tried again: the commit fails
// with it.
func (w *walState) flush(tls *libc.TLS, file uintptr, base *lib.Tsqlite3_io_methods) int32 {
	if w.n == 0 {
		return lib.SQLITE_OK
	}
	n := w.n
	w.n = 0
	return method[octetCall](base.FxWrite)(tls, file, w.buf, int32(n), w.off)
}

func walRead(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32 {
	w, base := walOf(file)
	if rc := w.flush(tls, file, base); rc != lib.SQLITE_OK {
		return rc
	}
	return method[octetCall](base.FxRead)(tls, file, buf, n, off)
}

func walSync(tls *libc.TLS, file uintptr, flags int32) int32 {
	w, base := walOf(file)
	if rc := w.flush(tls, file, base); rc != lib.SQLITE_OK {
		return rc
	}
	f := (*lib.TunixFile)(at(file))
	if f.FctrlFlags&lib.UNIXFILE_DIRSYNC != 0 { // the first time: the folder as well
		return method[flagCall](base.FxSync)(tls, file, flags)
	}
	if err := datasync.Datasync(int(f.Fh)); err != nil {
		return lib.SQLITE_IOERR_FSYNC
	}
	return lib.SQLITE_OK
}

func walTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	w, base := walOf(file)
	if rc := w.flush(tls, file, base); rc != lib.SQLITE_OK {
		return rc
	}
	return method[sizeCall](base.FxTruncate)(tls, file, size)
}

func walFileSize(tls *libc.TLS, file, size uintptr) int32 {
	w, base := walOf(file)
	if rc := w.flush(tls, file, base); rc != lib.SQLITE_OK {
		return rc
	}
	return method[wordCall](base.FxFileSize)(tls, file, size)
}

func walFileControl(tls *libc.TLS, file uintptr, op int32, arg uintptr) int32 {
	w, base := walOf(file)
	if rc := w.flush(tls, file, base); rc != lib.SQLITE_OK {
		return rc
	}
	return method[askCall](base.FxFileControl)(tls, file, op, arg)
}

func walClose(tls *libc.TLS, file uintptr) int32 {
	w, base := walOf(file)
	flushed := w.flush(tls, file, base)
	table := (*lib.Tsqlite3_file)(at(file)).FpMethods
	release(tls, w.buf)
	rc := method[fileCall](base.FxClose)(tls, file)
	release(tls, table)
	if flushed != lib.SQLITE_OK {
		return flushed
	}
	return rc
}
