// Package sqlite is the embedded SQL engine: one SQLite file, one writer that
// commits in groups, a pool of readers.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/hayauma/hayauma/internal/db"
)

// Options says where the database is and what it may use. Zero values mean the
// defaults named.
type Options struct {
	Path   string       // of the database file; its folder exists
	Logger *slog.Logger // nil = none

	Readers   int // reads at the same time: 4
	WriterKiB int // page cache of the writer: 2048
	ReaderKiB int // page cache of each reader: 256

	GroupSize  int           // functions in one transaction: 256
	GroupTime  time.Duration // after which a group takes no more functions: 20 ms
	MaxWaiting int           // writes that may wait, more get db.ErrOverloaded: 10000

	LogKiB    int // size of the log from which on it is copied: 32768
	LogMaxKiB int // size of the log from which on writes wait for that: 262144

	// MinFree returns the bytes of free space below which Write gives
	// db.ErrFull to all but db.WithReserve. Nil, or less than 0 from it = the
	// larger of 1 % and 512 MiB.
	MinFree func() int64

	// Observe is told of every commit of a group: how long it took and how
	// many functions were in it. It must not block.
	Observe func(commit time.Duration, functions int)
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Readers, 4)
	def(&o.WriterKiB, 2048)
	def(&o.ReaderKiB, 256)
	def(&o.GroupSize, 256)
	def(&o.MaxWaiting, 10000)
	def(&o.LogKiB, 32768)
	def(&o.LogMaxKiB, 8*o.LogKiB)
	if o.GroupTime <= 0 {
		o.GroupTime = 20 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(time.Duration, int) {}
	}
	return o
}

// DB is the engine: db.DB.
type DB struct {
	lock     io.Closer
	writer   *writer
	readers  *readers
	log      *checkpointer
	space    *space
	closing  sync.Once
	closeErr error
}

var _ db.DB = (*DB)(nil)

// pageKiB is SQLite's default page size.
const pageKiB = 4

// Open opens the database and creates it if there is none. It returns
// db.ErrInUse if another process has it and db.ErrCorrupt if it is damaged, in
// which case nothing was changed.
func Open(ctx context.Context, o Options) (*DB, error) {
	o = o.withDefaults()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, err
	}
	o.Path = path
	locked, err := Lock(path + LockSuffix)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	d := &DB{lock: locked}
	if err := d.open(o); err != nil {
		_ = locked.Close() // only unlocks
		if errors.Is(err, db.ErrCorrupt) {
			return nil, fmt.Errorf("the database %s cannot be used; nothing was changed: "+
				"restore it from a backup, or see what is left with `hayauma check --deep`: %w", path, err)
		}
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	return d, nil
}

func (d *DB) open(o Options) (err error) {
	tls := libc.NewTLS()
	defer tls.Close()
	if err := setUp(tls, o.WriterKiB/pageKiB); err != nil {
		return err
	}
	co := connOptions{path: o.Path, cacheKiB: o.WriterKiB, statements: 128, busyMillis: 10_000}
	c, err := openWriter(co)
	if err != nil {
		return err
	}
	co.cacheKiB = o.ReaderKiB
	if d.readers, err = openReaders(o.Readers, co); err != nil {
		_ = c.close() // the error that matters is err
		return err
	}
	co.cacheKiB, co.statements = 256, 1
	copier, err := openConn(co)
	if err != nil {
		_, _ = d.readers.close(), c.close() // the error that matters is err
		return err
	}
	d.space = &space{dir: filepath.Dir(o.Path), minFree: o.MinFree, log: o.Logger, start: time.Now()}
	d.writer = &writer{
		c: c, log: o.Logger, observe: o.Observe,
		maxGroup: o.GroupSize, maxTime: o.GroupTime, maxQueue: o.MaxWaiting,
		over: make(chan struct{}),
	}
	d.log = &checkpointer{
		w: d.writer, c: copier, log: o.Logger, wal: o.Path + "-wal",
		soft: int32(o.LogKiB / pageKiB), hard: int32(o.LogMaxKiB / pageKiB), space: d.space,
	}
	d.writer.before, d.writer.after = d.log.press, func() { d.log.committed(c.frames()) }
	d.log.start()
	d.writer.start()
	return nil
}

// setUp prepares the library, once in a process: later calls find it prepared.
func setUp(tls *libc.TLS, pages int) error {
	// This mutex can be had before the library is initialized.
	first := lib.Xsqlite3_mutex_alloc(tls, lib.SQLITE_MUTEX_STATIC_APP1)
	lib.Xsqlite3_mutex_enter(tls, first)
	defer lib.Xsqlite3_mutex_leave(tls, first)
	if err := setPagesAside(tls, pages); err != nil {
		return err
	}
	return useWALBuffer(tls) // initializes the library
}

// openWriter opens the connection that writes and makes the file whole and
// durable: the log that a crash left is copied into it.
func openWriter(o connOptions) (*conn, error) {
	// SQLite would make the file readable for all; its other files follow it.
	f, err := os.OpenFile(o.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	c, err := openConn(o)
	if err != nil {
		return nil, err
	}
	if err := c.recoverLog(o.path); err != nil {
		_ = c.close() // the error that matters is err
		return nil, err
	}
	return c, nil
}

func (c *conn) recoverLog(path string) error {
	mode, err := c.text("PRAGMA journal_mode=WAL")
	if err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system cannot hold a write-ahead log (journal mode %q)", mode)
	}
	// After a failed sync the page cache may show a log that is not on the
	// disk. Copying it writes and syncs all that it holds again.
	if err := c.checkpoint(lib.SQLITE_CHECKPOINT_TRUNCATE); err != nil {
		return fmt.Errorf("recover the log: %w", err)
	}
	if err := c.countFrames(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// countFrames has SQLite note the size of the log after each commit.
func (c *conn) countFrames() error {
	slot := alloc(c.tls, 4)
	if slot == 0 {
		return errNoMemory
	}
	c.walFrames = slot
	*(*int32)(at(slot)) = 0
	hook := func(_ *libc.TLS, slot, _, _ uintptr, frames int32) int32 {
		*(*int32)(at(slot)) = frames
		return lib.SQLITE_OK
	}
	lib.Xsqlite3_wal_hook(c.tls, c.db, *(*uintptr)(unsafe.Pointer(&hook)), slot)
	return nil
}

func (c *conn) frames() int32 { return *(*int32)(at(c.walFrames)) }

// Write is db.DB's.
func (d *DB) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if short := d.space.shortage(); short != nil && !db.HasReserve(ctx) {
		return short
	}
	return d.writer.write(ctx, fn)
}

// Parallel is db.DB's.
func (d *DB) Parallel() int { return 1 }

// Announce is db.DB's: no other process can have the file.
func (d *DB) Announce(string, ...int64) {}

// Listen is db.DB's.
func (d *DB) Listen(context.Context, string, func([]int64)) bool { return false }

// Read is db.DB's.
func (d *DB) Read(ctx context.Context, fn func(*db.Tx) error) error {
	return d.readers.read(ctx, fn)
}

// Broken is db.DB's: a sync has failed.
func (d *DB) Broken() <-chan struct{} { return d.writer.over }

// Health is db.DB's. A failed sync is final: it stays red until a restart.
func (d *DB) Health() error {
	if b := d.writer.broken.Load(); b != nil {
		return b
	}
	d.writer.mu.Lock()
	closed := d.writer.closed
	d.writer.mu.Unlock()
	if closed {
		return db.ErrClosed
	}
	if short := d.space.shortage(); short != nil {
		return short
	}
	return nil
}

// Close is db.DB's.
func (d *DB) Close() error {
	d.closing.Do(func() {
		d.writer.close()
		d.closeErr = errors.Join(
			d.readers.close(),
			d.log.close(),
			d.writer.c.close(), // the last connection copies the log and removes it
			d.lock.Close(),
		)
	})
	return d.closeErr
}
