package mailbox

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
)

// searchStep is how many messages of the view one Read looks at.
const searchStep = 4096

// Search returns the UIDs of the view's messages that match, ascending. Rows
// decide first, then headers, then bodies, which are read one by one with
// nothing held and a bounded part of each in memory.
func (v *View) Search(ctx context.Context, q Query) ([]uint32, error) {
	p := v.plan(q)
	uids := v.uids
	if p.uids != nil {
		uids = v.UIDs(p.uids)
	}
	var found []uint32
	for from := 0; from < len(v.uids) && len(uids) > 0; from += searchStep {
		part := v.uids[from:min(from+searchStep, len(v.uids))]
		n, _ := slices.BinarySearch(uids, part[len(part)-1]+1)
		asked := uids[:n]
		uids = uids[n:]
		if len(asked) == 0 {
			continue
		}
		list, err := v.scan(ctx, p, asked)
		if err == nil {
			list, err = v.sift(ctx, p, list)
		}
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		found = append(found, list...)
	}
	return found, nil
}

// plan is a query in two parts that must both hold: what the database decides,
// and the rest.
type plan struct {
	uids             Set // nil = all
	set, unset       Flags
	dateFrom, dateTo int64
	larger, smaller  int64
	modseq           int64
	rest             []test
	want             Want
}

func (v *View) plan(q Query) *plan {
	p := &plan{dateFrom: math.MinInt64, dateTo: math.MaxInt64, larger: -1, smaller: math.MaxInt64}
	v.addTo(p, q)
	sortTests(p.rest)
	for _, t := range p.rest {
		p.want |= t.want
	}
	return p
}

// addTo adds a condition that must hold.
func (v *View) addTo(p *plan, q Query) {
	switch q := q.(type) {
	case All:
	case And:
		for _, sub := range q {
			v.addTo(p, sub)
		}
	case HasFlags:
		p.set |= Flags(q)
	case Date:
		p.dateFrom, p.dateTo = max(p.dateFrom, dayStart(q.From)), min(p.dateTo, dayStart(q.To))
	case Larger:
		p.larger = max(p.larger, int64(q))
	case Smaller:
		p.smaller = min(p.smaller, int64(q))
	case ChangedSince:
		p.modseq = max(p.modseq, int64(q))
	case UIDs:
		if p.uids == nil {
			p.uids = q.resolve(v.MaxUID())
			return
		}
		p.rest = append(p.rest, v.compile(q))
	case Not:
		if f, ok := q.Query.(HasFlags); ok && f != 0 && f&(f-1) == 0 {
			p.unset |= Flags(f)
			return
		}
		p.rest = append(p.rest, v.compile(q))
	default:
		p.rest = append(p.rest, v.compile(q))
	}
}

// dayStart is the first microsecond of a day; days beyond what a time can be
// are without end.
func dayStart(day int64) int64 {
	const last = math.MaxInt64 / microsPerDay
	switch {
	case day > last:
		return math.MaxInt64
	case day < -last:
		return math.MinInt64
	}
	return day * microsPerDay
}

// scan returns those of uids whose rows match the database's part.
func (v *View) scan(ctx context.Context, p *plan, uids []uint32) ([]uint32, error) {
	var list []uint32
	err := v.s.db.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(db.SQL(`SELECT uid FROM mailbox_message WHERE mailbox = ? AND uid >= ? AND uid <= ?
			AND (flags & ?) = ? AND date >= ? AND date < ? AND size > ? AND size < ? AND modseq >= ? ORDER BY uid`),
			v.box.id, uids[0], uids[len(uids)-1], int64(p.set|p.unset), int64(p.set&^p.unset),
			p.dateFrom, p.dateTo, p.larger, p.smaller, p.modseq)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var uid uint32
			if err := r.Scan(&uid); err != nil {
				return err
			}
			if _, asked := slices.BinarySearch(uids, uid); asked {
				list = append(list, uid)
			}
			return nil
		})
	})
	if p.set&p.unset != 0 {
		list = nil
	}
	return list, err
}

// sift returns those of uids that match the rest.
func (v *View) sift(ctx context.Context, p *plan, uids []uint32) ([]uint32, error) {
	if len(p.rest) == 0 {
		return uids, nil
	}
	var list []uint32
	err := v.Rows(ctx, uids, p.want, func(r Row) error {
		c := &candidate{ctx: ctx, v: v, row: r}
		defer c.close()
		for _, t := range p.rest {
			if ok, err := t.match(c); err != nil || !ok {
				return err
			}
		}
		list = append(list, r.UID)
		return nil
	})
	return list, err
}
