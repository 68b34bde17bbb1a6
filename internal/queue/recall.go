package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// ErrTooLate says that a message is on its way already, or was there.
var ErrTooLate = errors.New("it is too late: the message is on its way, or has arrived")

var selectOfMessage = db.SQL("SELECT id FROM queue_recipient WHERE message = ?")

// Recall takes a message back before anybody has it: all of its recipients must
// still wait for their time (RFC 4865), or be on hold without an attempt, one that died
// with its process included, and nobody may have it, here or elsewhere. Else
// nothing is changed and the error is ErrTooLate. With an account, messages of
// others are ErrNotFound. It returns how many recipients there were, groups not
// counted; nobody is sent a report.
func (q *Queue) Recall(ctx context.Context, message, account mail.ID) (n int, err error) {
	now := micros()
	err = q.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		ids, err := readIDs(tx, nil, selectOfMessage, int64(message))
		if err != nil {
			return err
		}
		// Whoever claims one of them meanwhile has it before us, or not at all.
		if err := tx.Lock("queue_recipient", "id", ids); err != nil {
			return err
		}
		var g group
		if err := tx.QueryIn(selectRecipients, db.In{IDs: ids}, g.add); err != nil {
			return err
		}
		list, err := g.messages(tx)
		if err != nil {
			return err
		}
		if len(list) == 0 || account != 0 && list[0].Account != account {
			return ErrNotFound
		}
		m := list[0]
		var c changes
		reports := make([]Report, 0, len(m.Recipients))
		for _, r := range m.Recipients {
			if !waits(r, now) {
				return ErrTooLate
			}
			isGroup := r.State == Served // its members stand beside it
			r.State = gone
			c.add(m, r)
			if !isGroup {
				reports = append(reports, Report{Message: m, Recipient: r, Outcome: told(r)})
			}
		}
		n = len(reports)
		if err := c.write(tx); err != nil {
			return err
		}
		err = q.o.Observer.Administered(tx, "recalled", reports)
		if err != nil && !errors.Is(err, ErrTooLate) {
			return fmt.Errorf("events: %w", err)
		}
		return err
	})
	return n, err
}

// waits tells whether nobody can have seen anything of the message.
func waits(r Recipient, now int64) bool {
	switch r.State {
	case Held:
		return r.Attempts == 0
	case Queued:
		return r.Attempts == 0 && r.NotBefore > now
	case Served: // a group, of whose members the sender has not been told
		return r.Next > now
	}
	return false
}
