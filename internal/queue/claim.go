package queue

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

var (
	selectFlow = db.SQL("SELECT flow FROM queue_recipient WHERE site = ? AND level = ? AND state IN (1, 3) AND flow > ? ORDER BY flow LIMIT 1")
	selectSite = db.SQL(`SELECT id FROM queue_recipient WHERE site = ? AND level = ? AND flow = ? AND state IN (1, 3) AND next <= ?
		ORDER BY next, id LIMIT ? OFFSET ?`)
)

// claimFlows bounds the flows that one claim looks at; the next one goes on behind
// them.
const claimFlows = 1000

// claimSite claims due rows of a site that has room for more.
func (q *Queue) claimSite(ctx context.Context, s *site, now int64) error {
	q.mu.Lock()
	limit := max(min(q.limit()-s.rows, s.room()), 1)
	q.mu.Unlock()
	var ids []int64
	whole := true
	flows := s.flows
	err := q.o.DB.Read(ctx, func(tx *db.Tx) error {
		ids, whole, s.flows = ids[:0], true, flows
		for level := 1; level >= -1 && len(ids) < limit; level-- {
			c := flowClaim{tx: tx, site: s.name, level: level, now: now, limit: limit - len(ids)}
			err := c.run(&s.flows[1-level])
			if err != nil {
				return err
			}
			ids, whole = append(ids, c.ids...), whole && c.whole
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("due rows of a site: %w", err)
	}
	if err := q.claim(ctx, ids); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.more = len(ids) == limit || !whole; !whole && len(ids) < limit {
		signal(q.wake)
	}
	q.forget(s)
	return nil
}

// flowClaim finds due rows of one site and level: a share of each flow in turn, so
// that a flow with many rows leaves room for those with few.
type flowClaim struct {
	tx    *db.Tx
	site  string
	level int
	now   int64
	limit int

	ids   []int64
	whole bool // all flows were looked at
}

// run goes on behind the flow that was looked at last, -1 = with the first.
func (c *flowClaim) run(last *int64) error {
	share := max(c.limit/8, 1)
	var rich []int64 // flows that have their share, and perhaps more
	begun, again := *last, false
	for n := 0; n < claimFlows && len(c.ids) < c.limit; n++ {
		next, err := readIDs(c.tx, nil, selectFlow, c.site, c.level, *last)
		switch {
		case err != nil:
			return err
		case len(next) == 0 && begun >= 0 && !again:
			again, *last = true, -1
			continue
		case len(next) == 0 || again && next[0] > begun:
			c.whole = true
		default:
			*last = next[0]
			got, err := c.read(*last, share, 0)
			if err != nil {
				return err
			}
			if got == share {
				rich = append(rich, *last)
			}
			continue
		}
		break
	}
	for _, flow := range rich {
		if len(c.ids) == c.limit {
			break
		}
		if _, err := c.read(flow, c.limit, share); err != nil {
			return err
		}
	}
	return nil
}

// read takes due rows of one flow, at most so many, behind those that were taken.
func (c *flowClaim) read(flow int64, most, behind int) (n int, err error) {
	had := len(c.ids)
	c.ids, err = readIDs(c.tx, c.ids, selectSite, c.site, c.level, flow, c.now, min(most, c.limit-had), behind)
	return len(c.ids) - had, err
}
