package sqlite

import (
	"fmt"
	"strings"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// conn is one connection with its prepared statements, used by one goroutine at
// a time. It calls the library itself: the driver for database/sql allocates
// for every argument and column name of every call, which costs more than the
// statements of the hot path do.
type conn struct {
	tls   *libc.TLS
	db    uintptr
	out   uintptr // library memory for the results of calls: two words
	cache *cache
	rows  []*rows // open results
	last  error   // what SQLite last complained of
	wrote bool    // a statement changed something since it was last cleared

	inserts map[insertion]string // texts of insertions
	args    []any                // room for their arguments

	walFrames uintptr // library memory: frames in the log after the last commit
}

// connOptions says how a connection works.
type connOptions struct {
	path       string
	cacheKiB   int // page cache
	statements int // prepared statements kept
	busyMillis int // wait for another connection's lock
	readOnly   bool
}

const outWords = 16

func openConn(o connOptions) (*conn, error) {
	c := &conn{tls: libc.NewTLS(), inserts: map[insertion]string{}}
	if err := c.open(o); err != nil {
		_ = c.close() // the error that matters is the one of open
		return nil, err
	}
	return c, nil
}

func (c *conn) open(o connOptions) error {
	if c.out = alloc(c.tls, outWords); c.out == 0 {
		return errNoMemory
	}
	c.cache = newCache(o.statements)
	path, err := cString(c.tls, o.path)
	if err != nil {
		return err
	}
	defer release(c.tls, path)
	// A reader opens for writing too, because it takes part in the log's index;
	// query_only keeps it from changing anything.
	flags := int32(lib.SQLITE_OPEN_READWRITE | lib.SQLITE_OPEN_CREATE | lib.SQLITE_OPEN_NOMUTEX)
	vfs, err := cString(c.tls, walVFS)
	if err != nil {
		return err
	}
	defer release(c.tls, vfs)
	rc := lib.Xsqlite3_open_v2(c.tls, path, c.out, flags, vfs)
	c.db = *(*uintptr)(at(c.out))
	if rc != lib.SQLITE_OK {
		return fmt.Errorf("open %s: %w", o.path, c.error(rc))
	}
	lib.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	lib.Xsqlite3_busy_timeout(c.tls, c.db, int32(o.busyMillis))
	pragmas := []string{
		"PRAGMA trusted_schema=OFF",
		"PRAGMA temp_store=MEMORY",
		"PRAGMA mmap_size=0",
		fmt.Sprintf("PRAGMA cache_size=-%d", o.cacheKiB),
		"PRAGMA synchronous=FULL",
		"PRAGMA foreign_keys=ON",
		"PRAGMA wal_autocheckpoint=0",
	}
	if o.readOnly {
		pragmas = append(pragmas, "PRAGMA query_only=ON")
	}
	for _, p := range pragmas {
		if err := c.script(p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

func (c *conn) close() error {
	c.closeRows()
	if c.cache != nil {
		c.cache.drop()
	}
	var err error
	if c.db != 0 {
		err = c.error(lib.Xsqlite3_close_v2(c.tls, c.db))
		c.db = 0
	}
	release(c.tls, c.out)
	release(c.tls, c.walFrames)
	c.out, c.walFrames = 0, 0
	c.tls.Close()
	return err
}

// inTransaction reports whether a transaction is open. SQLite ends it by itself
// on some errors.
func (c *conn) inTransaction() bool { return lib.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// script runs statements without arguments one after the other.
func (c *conn) script(sql string) error {
	for strings.TrimSpace(sql) != "" {
		st, tail, err := c.prepare(sql)
		if err != nil {
			return err
		}
		sql = sql[len(sql)-tail:]
		if st == nil { // only a comment
			continue
		}
		_, err = st.exec(nil)
		st.finalize()
		if err != nil {
			return err
		}
	}
	return nil
}

// text runs a statement that gives one text, such as a pragma.
func (c *conn) text(sql string) (string, error) {
	r, err := c.query(sql, nil)
	if err != nil {
		return "", err
	}
	var s string
	if r.Next() {
		err = r.Scan(&s)
	}
	if err == nil {
		err = r.Err()
	}
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return s, err
}

func (c *conn) exec(sql string, args []any) (int64, error) {
	st, err := c.statement(sql)
	if err != nil {
		return 0, err
	}
	if st == nil { // several statements, or none
		if len(args) > 0 {
			return 0, fmt.Errorf("sqlite: several statements take no arguments: %s", brief(sql))
		}
		c.wrote = true
		return 0, c.script(sql)
	}
	n, err := st.exec(args)
	c.putBack(st)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, brief(sql))
	}
	return n, nil
}

func (c *conn) query(sql string, args []any) (*rows, error) {
	st, err := c.statement(sql)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, fmt.Errorf("sqlite: not one statement: %s", brief(sql))
	}
	r, err := st.query(args)
	if err != nil {
		c.putBack(st)
		return nil, fmt.Errorf("%w: %s", err, brief(sql))
	}
	c.rows = append(c.rows, r)
	return r, nil
}

// closeRows ends what a function left open.
func (c *conn) closeRows() {
	for len(c.rows) > 0 {
		_ = c.rows[len(c.rows)-1].Close() // its error was the statement's own
	}
}

// brief shortens a statement for an error text.
func brief(sql string) string {
	sql = strings.Join(strings.Fields(sql), " ")
	if len(sql) > 120 {
		sql = sql[:120] + "..."
	}
	return sql
}
