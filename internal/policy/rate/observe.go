package rate

import (
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/queue"
)

// Observer is a queue.Observer that passes everything on to another one, tells the
// guard how the recipients of each account fared, and gives back what was counted for
// a message that is taken back.
func (l *Limiter) Observer(next queue.Observer) queue.Observer { return observer{next, l} }

type observer struct {
	queue.Observer
	l *Limiter
}

// Attempted implements queue.Observer.
func (o observer) Attempted(tx *db.Tx, reports []queue.Report) error {
	tx.OnCommit(func() {
		for i := range reports {
			r := &reports[i]
			switch {
			case r.Result == queue.Delivered:
				o.l.Observe(r.Message.Account, false)
			case r.Result == queue.Refused && !r.Expired:
				o.l.Observe(r.Message.Account, true)
			}
		}
	})
	return o.Observer.Attempted(tx, reports)
}

// Administered implements queue.Observer.
func (o observer) Administered(tx *db.Tx, kind string, reports []queue.Report) error {
	if kind == "recalled" && len(reports) > 0 {
		if err := o.l.GiveBack(tx, reports[0].Message.ID); err != nil {
			return err
		}
	}
	return o.Observer.Administered(tx, kind, reports)
}
