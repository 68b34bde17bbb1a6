package blob

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// walkRows is how many rows one read looks at, so that none takes long.
const walkRows = 1000

// Walk is for stores: it looks at the next rows of the table body behind an id
// and returns those that a condition selects, and where it stopped, 0 = the end.
func Walk(ctx context.Context, d db.DB, after mail.ID, where string, args ...any) (ids []int64, upTo mail.ID, err error) {
	err = d.Read(ctx, func(tx *db.Tx) (err error) {
		ids, upTo, err = walk(tx, rows{from: "body", column: "id"}, after, where, args...)
		return err
	})
	return ids, upTo, err
}

// rows are where a walk goes.
type rows struct{ from, column string }

func walk(tx *db.Tx, r rows, after mail.ID, where string, args ...any) (ids []int64, upTo mail.ID, err error) {
	err = tx.Row(db.SQL("SELECT "+r.column+" FROM "+r.from+" WHERE "+r.column+" > ? ORDER BY "+r.column+" LIMIT 1 OFFSET ?"),
		[]any{int64(after), walkRows - 1}, (*int64)(&upTo))
	if err != nil && !errors.Is(err, db.ErrNoRows) {
		return nil, 0, err
	}
	sql, all := "SELECT DISTINCT "+r.column+" FROM "+r.from+" WHERE "+r.column+" > ?", []any{int64(after)}
	if upTo != 0 {
		sql, all = sql+" AND "+r.column+" <= ?", append(all, int64(upTo))
	}
	found, err := tx.Query(db.SQL(sql+" AND "+where+" ORDER BY "+r.column), append(all, args...)...)
	if err != nil {
		return nil, 0, err
	}
	err = db.Each(found, func(r db.Rows) error {
		ids = append(ids, 0)
		return r.Scan(&ids[len(ids)-1])
	})
	return ids, upTo, err
}

// CheckReferences is for stores: it reports the bodies that columns refer to and
// that have no row in the table body, or one that kept does not select.
func CheckReferences(ctx context.Context, d db.DB, refs []Reference, kept string, report func(fault string)) error {
	for _, ref := range refs {
		if err := checkReference(ctx, d, ref, kept, report); err != nil {
			return fmt.Errorf("check references of %s.%s: %w", ref.Table, ref.Column, err)
		}
	}
	return nil
}

func checkReference(ctx context.Context, d db.DB, ref Reference, kept string, report func(fault string)) error {
	if err := ref.Check(); err != nil {
		return err
	}
	r := rows{from: ref.Table, column: ref.Table + "." + ref.Column}
	where := "NOT EXISTS (SELECT 1 FROM body WHERE body.id = " + r.column
	if kept != "" {
		where += " AND " + kept
	}
	for last := mail.ID(0); ; {
		var missing []int64
		var upTo mail.ID
		err := d.Read(ctx, func(tx *db.Tx) (err error) {
			missing, upTo, err = walk(tx, r, last, where+")")
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range missing {
			report(fmt.Sprintf("body %s: %s refers to it but there is none", mail.ID(id), r.column))
		}
		if last = upTo; last == 0 {
			return nil
		}
	}
}

// Interrupted is for stores: it leaves out an error that only says that ctx has
// ended, because a sweep goes on where it was another time.
func Interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return nil
	}
	return err
}
