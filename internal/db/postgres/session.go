package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hayauma/hayauma/internal/db"
)

// maxArgs is how many arguments a statement may have.
const maxArgs = 2048

// session is one transaction on a connection: db.Conn. BEGIN travels with the
// first statement, so that it costs no round trip.
type session struct {
	ctx     context.Context
	c       *pgx.Conn
	texts   *texts
	inserts *inserts
	begin   string // what opens the transaction, "" once it was sent
	write   bool
	open    *rows // the result that still comes over the connection
	got     bool  // a statement has worked
	err     error // of the first statement that failed
	ended   bool
}

func (s *session) Pick(st db.Stmt) string { return withArrays(st.ForPostgres()) }

// List passes a list as one argument.
func (s *session) List(ids []int64) (string, []any) { return "?::bigint[]", []any{ids} }

func (s *session) MaxArgs() int { return maxArgs }

func (s *session) Shared() bool { return s.write }

func (s *session) Exec(sql string, args []any) (int64, error) {
	if err := s.ready(); err != nil {
		return 0, err
	}
	if len(args) == 0 && strings.Contains(sql, ";") {
		return s.script(sql)
	}
	r, err := s.query(sql, args)
	if err != nil {
		return 0, err
	}
	for r.pull() {
		continue
	}
	if err := r.finish(); err != nil {
		return 0, err
	}
	s.got = true
	return r.affected, nil
}

func (s *session) Query(sql string, args []any) (db.Rows, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	r, err := s.query(sql, args)
	if err != nil {
		return nil, err
	}
	// The first row tells whether the statement works at all, as the contract
	// has it: an error comes from Query, not only from Err.
	r.ahead = r.pull()
	if !r.ahead {
		if err := r.finish(); err != nil {
			return nil, err
		}
	}
	s.got = true
	return r, nil
}

// ready guards against statements outside of the transaction, and makes room on
// the connection for the next one.
func (s *session) ready() error {
	switch {
	case s.ended:
		return errEnded
	case s.err != nil:
		return s.err // PostgreSQL would refuse it: the transaction is lost
	case s.open != nil:
		return s.open.buffer()
	}
	return nil
}

// fail keeps the first error: whatever a function makes of it, the transaction
// cannot be committed any more.
func (s *session) fail(err error) error {
	err = wrap(err)
	if s.err == nil {
		s.err = err
	}
	return err
}

func (s *session) query(sql string, args []any) (*rows, error) {
	bound, err := bind(args)
	if err != nil {
		return nil, err
	}
	text := s.texts.of(sql)
	if n := strings.Count(text, "$"+strconv.Itoa(len(args)+1)); n > 0 || len(args) > 0 && !strings.Contains(text, "$"+strconv.Itoa(len(args))) {
		return nil, fmt.Errorf("%w: %d for %s", errArguments, len(args), brief(text))
	}
	r := &rows{s: s, text: text}
	if s.begin != "" {
		b := &pgx.Batch{}
		b.Queue(s.begin)
		b.Queue(text, bound...)
		s.begin = ""
		r.batch = s.c.SendBatch(s.ctx, b)
		if _, err := r.batch.Exec(); err != nil {
			_ = r.batch.Close() // it says the same
			return nil, s.fail(fmt.Errorf("begin: %w", err))
		}
		r.rows, err = r.batch.Query()
	} else {
		r.rows, err = s.c.Query(s.ctx, text, bound...)
	}
	if err != nil {
		if r.batch != nil {
			_ = r.batch.Close()
		}
		return nil, s.fail(fmt.Errorf("%w: %s", err, brief(text)))
	}
	s.open = r
	return r, nil
}

// script runs several statements without arguments, as the steps of a schema
// are written.
func (s *session) script(sql string) (int64, error) {
	if s.begin != "" {
		sql, s.begin = s.begin+";"+sql, ""
	}
	results, err := s.c.PgConn().Exec(s.ctx, sql).ReadAll()
	if err != nil {
		return 0, s.fail(fmt.Errorf("%w: %s", err, brief(sql)))
	}
	var affected int64
	for _, r := range results {
		affected += r.CommandTag.RowsAffected()
	}
	return affected, nil
}

// brief is the beginning of a statement, for errors.
func brief(sql string) string {
	const most = 120
	return strings.Join(strings.Fields(sql[:min(len(sql), most)]), " ")
}

func bind(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, arg := range args {
		switch arg.(type) {
		case []int64, []*int64, []string, []*string, [][]byte:
			out[i] = arg // an array: the list of In, or a column of Insert
			continue
		}
		v, err := db.Plain(arg)
		if err != nil {
			return nil, fmt.Errorf("postgres: argument %d: %w", i+1, err)
		}
		out[i] = v
	}
	return out, nil
}

// rows is a result: db.Rows. It comes over the connection row by row until
// another statement needs that; then the rest is kept in memory.
type rows struct {
	s        *session
	text     string
	batch    pgx.BatchResults // nil = the statement went by itself
	rows     pgx.Rows         // nil = all of it was read
	ahead    bool             // a row was pulled that Next has not given yet
	rest     [][]any          // rows read into memory
	current  []any
	affected int64
	err      error
	closed   bool
}

// pull moves on the connection.
func (r *rows) pull() bool { return r.rows != nil && r.rows.Next() }

// finish frees the connection after the last row.
func (r *rows) finish() error {
	if r.rows == nil {
		return r.err
	}
	r.rows.Close()
	err := r.rows.Err()
	r.affected = r.rows.CommandTag().RowsAffected()
	if r.batch != nil {
		if berr := r.batch.Close(); err == nil {
			err = berr
		}
	}
	r.rows, r.s.open = nil, nil
	if err != nil {
		r.err = r.s.fail(fmt.Errorf("%w: %s", err, brief(r.text)))
	}
	return r.err
}

// buffer reads what is left, so that the connection is free.
func (r *rows) buffer() error {
	if r.ahead {
		r.ahead = false
		r.keep()
	}
	for r.pull() {
		r.keep()
	}
	return r.finish()
}

func (r *rows) keep() {
	row, err := r.values()
	if err != nil && r.err == nil {
		r.err = err
	}
	r.rest = append(r.rest, row)
}

func (r *rows) Next() bool {
	r.current = nil
	switch {
	case r.closed || r.err != nil:
		return false
	case len(r.rest) > 0:
		r.current, r.rest = r.rest[0], r.rest[1:]
		return true
	case r.rows == nil:
		return false
	case r.ahead:
		r.ahead = false
	case !r.pull():
		_ = r.finish() // kept for Err
		return false
	}
	var err error
	if r.current, err = r.values(); err != nil {
		r.err = err
		return false
	}
	return true
}

func (r *rows) Err() error { return r.err }

// Close may be called more than once.
func (r *rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed, r.rest, r.current = true, nil, nil
	if r.rows != nil && !r.s.ended {
		return r.finish()
	}
	return nil
}

func (r *rows) Scan(dest ...any) error {
	if r.current == nil {
		return errNoRow
	}
	if len(dest) != len(r.current) {
		return fmt.Errorf("postgres: %d targets for %d columns", len(dest), len(r.current))
	}
	for i, d := range dest {
		if err := db.Assign(d, r.current[i]); err != nil {
			return fmt.Errorf("postgres: column %d into %T: %w", i+1, d, err)
		}
	}
	return nil
}

// values reads the row at hand in the kinds that db.Plain knows.
func (r *rows) values() ([]any, error) {
	raw, fields := r.rows.RawValues(), r.rows.FieldDescriptions()
	out := make([]any, len(raw))
	for i, b := range raw {
		if b == nil {
			continue
		}
		v, err := value(fields[i], b)
		if err != nil {
			return nil, fmt.Errorf("postgres: column %s: %w", fields[i].Name, err)
		}
		out[i] = v
	}
	return out, nil
}

var errKind = errors.New("is of a type that package db does not know")

func value(f pgconn.FieldDescription, b []byte) (any, error) {
	binaryForm := f.Format == pgtype.BinaryFormatCode
	switch f.DataTypeOID {
	case pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID:
		if !binaryForm {
			return strconv.ParseInt(string(b), 10, 64)
		}
		switch len(b) {
		case 8:
			return int64(binary.BigEndian.Uint64(b)), nil
		case 4:
			return int64(int32(binary.BigEndian.Uint32(b))), nil
		case 2:
			return int64(int16(binary.BigEndian.Uint16(b))), nil
		}
	case pgtype.BoolOID:
		if len(b) == 1 && (b[0] == 1 || b[0] == 't') {
			return int64(1), nil
		}
		return int64(0), nil
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.NameOID, pgtype.UnknownOID:
		return string(b), nil
	case pgtype.ByteaOID:
		if binaryForm {
			return append(make([]byte, 0, len(b)), b...), nil
		}
	}
	return nil, errKind
}
