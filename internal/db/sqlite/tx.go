package sqlite

import (
	"strings"

	"github.com/hayauma/hayauma/internal/db"
)

// maxArgs is how many arguments a statement may have. SQLite would take 32766;
// this keeps the memory of one statement small.
const maxArgs = 2048

// txConn is what a function sees of a connection: db.Conn.
type txConn struct {
	c     *conn // nil once the function has returned
	write bool
}

// usable guards against statements outside of the transaction: SQLite would
// commit each by itself.
func (t *txConn) usable() error {
	if t.c == nil {
		return errEnded
	}
	if !t.c.inTransaction() {
		if t.c.last != nil {
			return t.c.last
		}
		return errEnded
	}
	return nil
}

func (t *txConn) Exec(sql string, args []any) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	return t.c.exec(sql, args)
}

func (t *txConn) Query(sql string, args []any) (db.Rows, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	r, err := t.c.query(sql, args)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (t *txConn) Pick(s db.Stmt) string { return s.SQL }

// List pads the list to a power of two with its last id, so that few texts are
// prepared: a value that stands twice behind IN changes nothing.
func (t *txConn) List(ids []int64) (string, []any) {
	n := 1
	for n < len(ids) {
		n *= 2
	}
	args := make([]any, n)
	for i := range args {
		args[i] = ids[min(i, len(ids)-1)]
	}
	return strings.Repeat("?, ", n-1) + "?", args
}

func (t *txConn) MaxArgs() int { return maxArgs }

func (t *txConn) Shared() bool { return false }

// Insert is db.Inserter's: as db.Tx would, but with texts and room for arguments
// that are kept.
func (t *txConn) Insert(ins db.Insert, rows [][]any) error {
	if err := t.usable(); err != nil {
		return err
	}
	for len(rows) > 0 {
		n := ins.Together(len(rows), maxArgs)
		args := t.c.args[:0]
		for _, row := range rows[:n] {
			args = append(args, row...)
		}
		_, err := t.c.exec(t.c.insertText(ins, n), args)
		clear(args) // what they point to is not kept
		t.c.args = args
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// insertion names the text of an insertion of a number of rows.
type insertion struct {
	into, conflict string
	columns, rows  int
	first          *string // the columns themselves, of which a table has several lists
}

// insertText returns ins.Text(n), which is put together once.
func (c *conn) insertText(ins db.Insert, n int) string {
	key := insertion{ins.Into, ins.Conflict, len(ins.Columns), n, &ins.Columns[0]}
	text, known := c.inserts[key]
	if !known {
		if len(c.inserts) >= maxInserts {
			clear(c.inserts) // columns of a call's own fill it
		}
		text = ins.Text(n)
		c.inserts[key] = text
	}
	return text
}

// maxInserts bounds the texts that are kept: there are seven for each list of
// columns.
const maxInserts = 512
