package db

import "strings"

// Conn is what an engine gives a Tx to work with. Arguments and results are of
// the kinds integer, text, bytes and NULL; named integer types such as mail.ID
// pass in both directions.
type Conn interface {
	Exec(sql string, args []any) (affected int64, err error)
	Query(sql string, args []any) (Rows, error)
	// Pick returns the text of s in this engine's dialect.
	Pick(s Stmt) string
	// List returns what replaces "@ids" for a list of n values and the
	// arguments to bind in its place.
	List(ids []int64) (placeholder string, args []any)
	// MaxArgs is how many arguments one statement may have.
	MaxArgs() int
	// Shared tells whether other writes run at the same time, so that rows must
	// be locked before they are read to be changed.
	Shared() bool
}

// Inserter is a Conn that adds many rows in a way of its own.
type Inserter interface {
	Insert(ins Insert, rows [][]any) error
}

// Rows is a result being read. It must be closed.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Tx is one function's part of a transaction.
type Tx struct {
	conn  Conn
	after []func()
}

// NewTx is for engines: it wraps a connection for one call of a function.
func NewTx(c Conn) *Tx { return &Tx{conn: c} }

// OnCommit has f called once the transaction is durable, in the order of
// registration, before Write returns, and never if it fails. f must not block
// and not call the engine: it runs in the committer.
func (t *Tx) OnCommit(f func()) { t.after = append(t.after, f) }

// Committed is for engines: it returns what OnCommit collected.
func (t *Tx) Committed() []func() { return t.after }

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(s Stmt, args ...any) (int64, error) {
	return t.conn.Exec(t.conn.Pick(s), args)
}

// Query runs a statement that gives rows.
func (t *Tx) Query(s Stmt, args ...any) (Rows, error) {
	return t.conn.Query(t.conn.Pick(s), args)
}

// Row runs a statement that gives one row and scans it into dest; ErrNoRows if
// there is none.
func (t *Tx) Row(s Stmt, args []any, dest ...any) error {
	rows, err := t.Query(s, args...)
	if err != nil {
		return err
	}
	return scanOne(rows, dest)
}

func scanOne(rows Rows, dest []any) (err error) {
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	return rows.Scan(dest...)
}

// ExecIn runs a statement with "(@ids)" for a list of ids, before which and
// behind which stand the other arguments. An empty list changes nothing.
func (t *Tx) ExecIn(s Stmt, in In) (int64, error) {
	var total int64
	for _, part := range in.parts(t.conn.MaxArgs()) {
		sql, args := t.expand(s, in, part)
		n, err := t.conn.Exec(sql, args)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// QueryIn runs a statement with "(@ids)" and calls scan for each row. The rows
// of a long list come in several parts.
func (t *Tx) QueryIn(s Stmt, in In, scan func(Rows) error) error {
	for _, part := range in.parts(t.conn.MaxArgs()) {
		sql, args := t.expand(s, in, part)
		rows, err := t.conn.Query(sql, args)
		if err != nil {
			return err
		}
		if err := Each(rows, scan); err != nil {
			return err
		}
	}
	return nil
}

// Each calls scan for every row and closes rows.
func Each(rows Rows, scan func(Rows) error) (err error) {
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Lock takes rows of a table for this transaction, in the order of a key, so
// that what is read of them next stays true until the commit and two
// transactions never wait for each other in a circle. Where one transaction
// writes at a time there is nothing to do.
func (t *Tx) Lock(table, key string, ids []int64) error {
	if !t.conn.Shared() || len(ids) == 0 {
		return nil
	}
	s := SQL("SELECT " + key + " FROM " + table + " WHERE " + key + " IN (@ids) ORDER BY " + key + " FOR UPDATE")
	return t.QueryIn(s, In{IDs: ids}, func(Rows) error { return nil })
}

// In is the arguments of a statement with a list: those before the list, the
// list, those behind it.
type In struct {
	Before []any
	IDs    []int64
	After  []any
}

func (in In) parts(maxArgs int) [][]int64 {
	size := max(1, maxArgs-len(in.Before)-len(in.After))
	var parts [][]int64
	for ids := in.IDs; len(ids) > 0; {
		n := min(size, len(ids))
		parts, ids = append(parts, ids[:n]), ids[n:]
	}
	return parts
}

func (t *Tx) expand(s Stmt, in In, ids []int64) (string, []any) {
	placeholder, list := t.conn.List(ids)
	args := make([]any, 0, len(in.Before)+len(list)+len(in.After))
	args = append(append(append(args, in.Before...), list...), in.After...)
	return strings.Replace(t.conn.Pick(s), "@ids", placeholder, 1), args
}

// Insert adds rows with as few statements as the engine allows. The number of
// rows a statement takes is a power of two, so that few texts are prepared.
func (t *Tx) Insert(ins Insert, rows ...[]any) error {
	if in, ok := t.conn.(Inserter); ok {
		return in.Insert(ins, rows)
	}
	for len(rows) > 0 {
		n := ins.Together(len(rows), t.conn.MaxArgs())
		args := make([]any, 0, n*len(ins.Columns))
		for _, row := range rows[:n] {
			args = append(args, row...)
		}
		if _, err := t.Exec(SQL(ins.Text(n)), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// Together is for engines: it returns how many of some rows one statement adds.
func (ins Insert) Together(rows, maxArgs int) int {
	limit := maxArgs / len(ins.Columns)
	n := 1
	for n*2 <= rows && n*2 <= limit && n < 64 {
		n *= 2
	}
	return n
}

// Text is for engines: it returns the statement that adds n rows.
func (ins Insert) Text(n int) string {
	row := "(" + strings.Repeat("?, ", len(ins.Columns)-1) + "?)"
	columns := strings.Join(ins.Columns, ", ")
	var b strings.Builder
	b.Grow(len(ins.Into) + len(columns) + n*(len(row)+2) + len(ins.Conflict) + 32)
	b.WriteString("INSERT INTO ")
	b.WriteString(ins.Into)
	b.WriteString(" (")
	b.WriteString(columns)
	b.WriteString(") VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(row)
	}
	if ins.Conflict != "" {
		b.WriteString(" ")
		b.WriteString(ins.Conflict)
	}
	return b.String()
}
