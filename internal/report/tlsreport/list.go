package tlsreport

import (
	"context"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Status tells of one report.
type Status struct {
	Day      time.Time // its beginning, UTC
	Domain   string
	State    State
	Attempts int
	Next     time.Time // where it waits: when it is tried, at the earliest
	Reply    string    // what went wrong the last time; or where it is wanted by mail
}

var sqlList = db.SQL("SELECT day, domain, state, due, attempts, reply FROM tls_report ORDER BY day DESC, domain LIMIT ?")

// List returns what is known of the reports of late, the newest day first.
func (r *Reports) List(ctx context.Context, most int) (out []Status, err error) {
	err = r.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = nil
		rows, err := tx.Query(sqlList, most)
		if err != nil {
			return err
		}
		return db.Each(rows, func(rows db.Rows) error {
			var s Status
			var day, due int64
			err := rows.Scan(&day, &s.Domain, &s.State, &due, &s.Attempts, &s.Reply)
			s.Day = startOf(day)
			if s.State == Waiting {
				s.Next = mail.FromMicros(due)
			}
			out = append(out, s)
			return err
		})
	})
	return out, err
}
