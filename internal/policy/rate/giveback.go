package rate

import (
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Waits names the message of a reservation, which nobody gets for now: if it is taken
// back, GiveBack knows what was counted for it. It is called before Commit.
func (r *Reservation) Waits(message mail.ID) {
	if r != nil {
		r.waits = message
	}
}

var (
	insertWaiting = db.Insert{
		Into: "send_waiting", Columns: []string{"message", "kind", "subject", "minute", "at", "recipients"},
	}
	sqlWaiting = db.SQL("SELECT kind, subject, minute, at, recipients FROM send_waiting WHERE message = ? ORDER BY kind, subject")
	sqlWaited  = db.SQL("DELETE FROM send_waiting WHERE message = ?")
	sqlGive    = db.SQL(`UPDATE send_count SET messages = CASE WHEN messages > 1 THEN messages - 1 ELSE 0 END,
	recipients = CASE WHEN recipients > ? THEN recipients - ? ELSE 0 END WHERE kind = ? AND subject = ? AND minute = ?`)
)

// waitingRows are what may be given back of a group.
func waitingRows(group []*Reservation, at, minute int64) (rows [][]any) {
	for _, r := range group {
		if r.waits == 0 {
			continue
		}
		for _, n := range r.names {
			rows = append(rows, []any{int64(r.waits), n.Kind, n.Name, minute, at, r.wants[Recipients]})
		}
	}
	return rows
}

// given is what one subject gets back.
type given struct {
	Subject
	minute, at int64
	counts
}

// GiveBack takes a message out of what its sender has sent, in the commit that takes
// it back: it counts once and for as many recipients as it was taken for. Recipients
// who were new stay counted as such, since from now on they are known. Of a message
// that did not wait when it was accepted nothing is given back.
func (l *Limiter) GiveBack(tx *db.Tx, message mail.ID) error {
	var list []given
	rows, err := tx.Query(sqlWaiting, int64(message))
	if err != nil {
		return err
	}
	err = db.Each(rows, func(r db.Rows) error {
		g := given{counts: counts{Messages: 1}}
		err := r.Scan(&g.Kind, &g.Name, &g.minute, &g.at, &g.counts[Recipients])
		list = append(list, g)
		return err
	})
	if err != nil || len(list) == 0 {
		return err
	}
	// Who deletes them gives back: two who take back the same message do not do so twice.
	n, err := tx.Exec(sqlWaited, int64(message))
	if err != nil || n == 0 {
		return err
	}
	for _, g := range list {
		most := g.counts[Recipients]
		if _, err := tx.Exec(sqlGive, most, most, g.Kind, g.Name, g.minute); err != nil {
			return err
		}
	}
	tx.OnCommit(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.version++ // what somebody reads meanwhile may be older
		for _, g := range list {
			if s := l.subjects[g.Subject]; s != nil {
				for span := range s.windows {
					s.windows[span].giveBack(g.at, g.counts)
				}
			}
		}
	})
	return nil
}
