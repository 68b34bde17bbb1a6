package queue

import (
	"context"

	"github.com/hayauma/hayauma/internal/db"
)

var countSite = db.SQL("SELECT COUNT(*) FROM queue_recipient WHERE site = ? AND state IN (1, 2, 3, 5)")

// Bound counts the recipients that are still to go to a site, those on hold too.
func (q *Queue) Bound(ctx context.Context, site string) (n int, err error) {
	err = q.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(countSite, []any{site}, &n) })
	return n, err
}
