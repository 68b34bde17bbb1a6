package queue

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// Touched is what a verb or Reroute came to, in recipients.
type Touched struct {
	Moved    int // are as was asked, or would be
	UnderWay int // have a wish that is granted unless this attempt ends their story; of Reroute: are left alone
	Untold   int // of both: no sender wants to hear if they fail; not counted by Reroute
}

// All is how many were chosen.
func (t Touched) All() int { return t.Moved + t.UnderWay }

func (t *Touched) add(part Touched) {
	t.Moved += part.Moved
	t.UnderWay += part.UnderWay
	t.Untold += part.Untold
}

// updateSite is updateRecipient for those that get another site.
var updateSite = db.Insert{
	Into: "queue_recipient", Columns: insertRecipient.Columns,
	Conflict: "ON CONFLICT (id) DO UPDATE SET site = excluded.site, state = excluded.state, next = excluded.next",
}

// Reroute gives recipients elsewhere another site, "" = the domain of each, and makes
// them due, unless they are on hold. Those that have it already, and those whose story
// is over, are left alone; so are those under way, which it counts.
func (q *Queue) Reroute(ctx context.Context, f Filter, site string) (Touched, error) {
	return q.inParts(ctx, f, func(tx *db.Tx, ids []int64) (Touched, error) { return q.reroute(tx, ids, site, f.DryRun) })
}

// reroute moves one slice in one write.
func (q *Queue) reroute(tx *db.Tx, ids []int64, site string, dry bool) (n Touched, err error) {
	if !dry {
		// Whoever claims one of them meanwhile has it before us, or sees its new site.
		if err := tx.Lock("queue_recipient", "id", ids); err != nil {
			return n, err
		}
	}
	var g group
	if err := tx.QueryIn(selectRecipients, db.In{IDs: ids}, g.add); err != nil {
		return n, err
	}
	list, err := g.messages(tx)
	if err != nil {
		return n, err
	}
	now := micros()
	var rows [][]any
	var reports []Report
	sites := map[string]bool{}
	for _, m := range list {
		for _, r := range m.Recipients {
			to := site
			if to == "" {
				to = r.Address.Domain.ASCII
			}
			if r.Site == SiteLocal || r.Site == to {
				continue
			}
			switch r.State {
			case Leased:
				n.UnderWay++
				continue
			case Queued, Deferred:
				r.State, r.Next = Queued, max(now, r.NotBefore)
			case Held:
			default:
				continue
			}
			n.Moved++
			r.Site = to
			sites[to] = true
			rows = append(rows, recipientRow(m, &r, 0))
			reports = append(reports, Report{Message: m, Recipient: r, Outcome: told(r)})
		}
	}
	if dry || n.Moved == 0 {
		return n, nil
	}
	if err := tx.Insert(updateSite, rows...); err != nil {
		return n, fmt.Errorf("reroute recipients: %w", err)
	}
	if err := q.o.Observer.Administered(tx, "rerouted", reports); err != nil {
		return n, fmt.Errorf("events: %w", err)
	}
	tx.OnCommit(func() { q.moved(verb{to: Queued, now: now}, sites) })
	return n, nil
}

var countSite = db.SQL("SELECT COUNT(*) FROM queue_recipient WHERE site = ? AND state IN (1, 2, 3, 5)")

// Bound counts the recipients that are still to go to a site, those on hold too.
func (q *Queue) Bound(ctx context.Context, site string) (n int, err error) {
	err = q.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(countSite, []any{site}, &n) })
	return n, err
}
