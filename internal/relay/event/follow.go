package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Cursor is a place in the order in which events are given to those who follow
// them: behind all that were read. The zero Cursor is the beginning. It holds
// for one database: a copy of the installation has an order of its own.
type Cursor struct {
	writer int64 // the transaction; 0 where the ids alone are the order
	id     mail.ID
}

// ErrCursor says that a text is no cursor.
var ErrCursor = errors.New("not a place in the history")

// String is the form in which a reader keeps its place.
func (c Cursor) String() string { return fmt.Sprintf("%d/%d", c.writer, int64(c.id)) }

// ParseCursor is the inverse of String; the empty text is the beginning.
func ParseCursor(s string) (Cursor, error) {
	if s == "" {
		return Cursor{}, nil
	}
	writer, id, _ := strings.Cut(s, "/")
	w, err := strconv.ParseUint(writer, 10, 63)
	n, ierr := strconv.ParseUint(id, 10, 63)
	if err != nil || ierr != nil {
		return Cursor{}, fmt.Errorf("%w: %q", ErrCursor, s)
	}
	return Cursor{writer: int64(w), id: mail.ID(n)}, nil
}

// sqlAfter reads on from a cursor. PostgreSQL commits transactions side by side,
// so an event may become visible behind others that are younger: a reader by id
// would never see it. There the order is that of the transactions, and only those
// are read before which none is still open: what comes later stands behind them.
var sqlAfter = db.Stmt{
	SQL: "SELECT " + columns + `, 0 FROM event WHERE ? = 0 AND id > ? ORDER BY id LIMIT ?`,
	Postgres: "SELECT " + columns + `, writer::text::bigint FROM event
		WHERE (writer, id) > (CAST(CAST(? AS BIGINT) AS TEXT)::xid8, ?)
		AND writer < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY writer, id LIMIT ?`,
}

// After returns up to limit events behind a cursor and the cursor behind them.
// Each event is given once, however its transaction and others overlapped; those
// of one transaction come together, in their order.
func (l *Log) After(ctx context.Context, c Cursor, limit int) ([]Event, Cursor, error) {
	var out []Event
	next := c
	err := l.db.Read(ctx, func(tx *db.Tx) error {
		out, next = nil, c
		rows, err := tx.Query(sqlAfter, c.writer, int64(c.id), limit)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var e Event
			var kind, detail string
			if err := r.Scan(&e.ID, &e.Message, &e.Tenant, &e.Account, &e.At, &kind, &e.Stream, &e.Recipient, &detail, &next.writer); err != nil {
				return err
			}
			e.Kind, next.id = Kind(kind), e.ID
			out = append(out, e)
			return json.Unmarshal([]byte(detail), &out[len(out)-1].Detail)
		})
	})
	if err != nil {
		return nil, c, fmt.Errorf("events after %s: %w", c, err)
	}
	return out, next, nil
}
