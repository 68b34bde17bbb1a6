package sqlite

import (
	"container/list"
	"fmt"
	"strings"

	lib "modernc.org/sqlite/lib"
)

// stmt is one prepared statement.
type stmt struct {
	c       *conn
	p       uintptr
	text    string
	params  int
	columns int
	changes bool // may change something
	counted bool // what it changes is seen in the count of changed rows
	busy    bool
	entry   *list.Element // place in the cache, nil if not kept
	arena   uintptr       // library memory for the arguments' bytes
	size    int           // of the arena
}

// arenaKept is how much argument memory a statement that rests keeps.
const arenaKept = 64 << 10

// prepare compiles the first statement of sql and returns how many octets
// stand behind it. The statement is nil if there is only space and comment.
func (c *conn) prepare(sql string) (st *stmt, tail int, err error) {
	text, err := cString(c.tls, sql)
	if err != nil {
		return nil, 0, err
	}
	defer release(c.tls, text)
	handle, end := c.out, c.out+outWords/2
	rc := lib.Xsqlite3_prepare_v3(c.tls, c.db, text, int32(len(sql)+1), lib.SQLITE_PREPARE_PERSISTENT, handle, end)
	if rc != lib.SQLITE_OK {
		return nil, 0, fmt.Errorf("%w: %s", c.error(rc), brief(sql))
	}
	tail = len(sql) - int(*(*uintptr)(at(end))-text)
	p := *(*uintptr)(at(handle))
	if p == 0 {
		return nil, tail, nil
	}
	st = &stmt{
		c:       c,
		p:       p,
		params:  int(lib.Xsqlite3_bind_parameter_count(c.tls, p)),
		columns: int(lib.Xsqlite3_column_count(c.tls, p)),
		changes: lib.Xsqlite3_stmt_readonly(c.tls, p) == 0,
	}
	if words := strings.Fields(sql[:min(len(sql), 200)]); len(words) > 0 {
		switch strings.ToUpper(words[0]) {
		case "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH":
			st.counted = true
		}
	}
	return st, tail, nil
}

// statement returns a prepared statement that nobody uses, nil if sql is not
// exactly one. It is given back by putBack.
func (c *conn) statement(sql string) (*stmt, error) {
	st := c.cache.get(sql)
	if st != nil && !st.busy {
		st.busy = true
		return st, nil
	}
	kept := st != nil // the kept one is in use: a result is open
	st, tail, err := c.prepare(sql)
	if err != nil || st == nil {
		return nil, err
	}
	if tail > 0 && strings.TrimSpace(sql[len(sql)-tail:]) != "" {
		st.finalize()
		return nil, nil
	}
	st.text, st.busy = sql, true
	if !kept {
		c.cache.add(st)
	}
	return st, nil
}

// putBack ends a use of st. The bound values are dropped with the next use.
func (c *conn) putBack(st *stmt) {
	st.busy = false
	if st.entry == nil {
		st.finalize()
		return
	}
	if st.size > arenaKept {
		lib.Xsqlite3_clear_bindings(c.tls, st.p)
		release(c.tls, st.arena)
		st.arena, st.size = 0, 0
	}
}

func (st *stmt) finalize() {
	// The result is the last step's error, which was reported then.
	lib.Xsqlite3_finalize(st.c.tls, st.p)
	release(st.c.tls, st.arena)
	st.p, st.arena = 0, 0
}

func (st *stmt) step() int32 { return lib.Xsqlite3_step(st.c.tls, st.p) }

func (st *stmt) reset() { lib.Xsqlite3_reset(st.c.tls, st.p) }

// exec runs st to its end and returns how many rows it changed.
func (st *stmt) exec(args []any) (int64, error) {
	if err := st.bind(args); err != nil {
		return 0, err
	}
	before := st.before()
	rc := st.step()
	for rc == lib.SQLITE_ROW {
		rc = st.step()
	}
	st.after(before)
	var err error
	if rc != lib.SQLITE_DONE {
		err = st.c.error(rc)
	}
	st.reset()
	if err != nil || !st.changes {
		return 0, err
	}
	return lib.Xsqlite3_changes64(st.c.tls, st.c.db), nil
}

// query starts st and stands before its first row.
func (st *stmt) query(args []any) (*rows, error) {
	if err := st.bind(args); err != nil {
		return nil, err
	}
	before := st.before()
	rc := st.step()
	st.after(before)
	if st.changes && rc == lib.SQLITE_ROW {
		// RETURNING gives its rows before SQLite counts what it changed.
		st.c.wrote = true
	}
	if rc != lib.SQLITE_ROW && rc != lib.SQLITE_DONE {
		err := st.c.error(rc)
		st.reset()
		return nil, err
	}
	return &rows{st: st, first: rc == lib.SQLITE_ROW, end: rc == lib.SQLITE_DONE}, nil
}

func (st *stmt) before() int64 {
	if !st.changes {
		return 0
	}
	return lib.Xsqlite3_total_changes64(st.c.tls, st.c.db)
}

// after notes whether a step changed anything.
func (st *stmt) after(before int64) {
	if st.changes && (!st.counted || before != lib.Xsqlite3_total_changes64(st.c.tls, st.c.db)) {
		st.c.wrote = true
	}
}

// cache keeps the statements used last, by their text.
type cache struct {
	limit  int
	byText map[string]*stmt
	order  *list.List // of *stmt, the one used last in front
}

func newCache(limit int) *cache {
	return &cache{limit: limit, byText: make(map[string]*stmt), order: list.New()}
}

func (k *cache) get(sql string) *stmt {
	st := k.byText[sql]
	if st != nil {
		k.order.MoveToFront(st.entry)
	}
	return st
}

func (k *cache) add(st *stmt) {
	k.byText[st.text] = st
	st.entry = k.order.PushFront(st)
	if k.order.Len() > k.limit {
		k.remove(k.order.Back().Value.(*stmt))
	}
}

// remove forgets a statement. One that is in use is freed when it is put back.
func (k *cache) remove(st *stmt) {
	k.order.Remove(st.entry)
	delete(k.byText, st.text)
	st.entry = nil
	if !st.busy {
		st.finalize()
	}
}

func (k *cache) drop() {
	for k.order.Len() > 0 {
		k.remove(k.order.Back().Value.(*stmt))
	}
}
