package rate

import (
	"context"
	"errors"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// Usage is one limit of a subject and what counts against it.
type Usage struct {
	Rule  string `json:"rule"`
	Limit int64  `json:"limit"` // 0 = none
	Own   bool   `json:"own"`   // set for this one, not a default
	Used  int64  `json:"used"`
}

// Usage lists all limits of a subject.
func (l *Limiter) Usage(ctx context.Context, n Subject) (list []Usage, err error) {
	defaults := l.o.Defaults(n.Kind)
	err = l.with(ctx, []Subject{n}, func(now int64, found []*subject) {
		s := found[0]
		limits := s.limits(defaults)
		list = make([]Usage, 0, ruleCount)
		for i, r := range ruleTable {
			_, own := s.own[r.Name]
			list = append(list, Usage{Rule: r.Name, Limit: limits[i], Own: own, Used: s.sent(now, r)})
		}
	})
	return list, err
}

// MaxLimit bounds a limit.
const MaxLimit = 1_000_000_000

// ErrLimit says that a limit cannot be set.
var ErrLimit = errors.New("a limit is a whole number from 0 (no limit) to 1000000000")

var (
	sqlOwn      = db.SQL("SELECT rule, most FROM send_limit WHERE kind = ? AND subject = ?")
	sqlDropOwn  = db.SQL("DELETE FROM send_limit WHERE kind = ? AND subject = ?")
	insertOwn   = db.Insert{Into: "send_limit", Columns: []string{"kind", "subject", "rule", "most"}, Conflict: "ON CONFLICT (kind, subject, rule) DO UPDATE SET most = excluded.most"}
	sqlDropHold = db.SQL("DELETE FROM send_hold WHERE account = ?")
)

// SetLimits gives a subject limits of its own, by the names of their rules; 0 =
// none. Those that are not named stay as they are.
func (l *Limiter) SetLimits(ctx context.Context, n Subject, own map[string]int64) error {
	rows := make([][]any, 0, len(own))
	for _, r := range ruleTable {
		most, set := own[r.Name]
		if !set {
			continue
		}
		if most < 0 || most > MaxLimit {
			return fmt.Errorf("%s = %d: %w", r.Name, most, ErrLimit)
		}
		rows = append(rows, []any{n.Kind, n.Name, r.Name, most})
	}
	if len(rows) < len(own) {
		return fmt.Errorf("there is no such limit among those named; there are %s", ruleNames())
	}
	return l.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		l.changed(tx, n)
		return tx.Insert(insertOwn, rows...)
	})
}

func ruleNames() (text string) {
	for i, r := range ruleTable {
		if i > 0 {
			text += ", "
		}
		text += r.Name
	}
	return text
}

// ClearLimits takes a subject's own limits away: the defaults hold again.
func (l *Limiter) ClearLimits(ctx context.Context, n Subject) error {
	return l.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error { return l.clearLimits(tx, n) })
}

func (l *Limiter) clearLimits(tx *db.Tx, n Subject) error {
	l.changed(tx, n)
	_, err := tx.Exec(sqlDropOwn, n.Kind, n.Name)
	return err
}

func ownLimits(tx *db.Tx, n Subject) (own map[string]int64, err error) {
	rows, err := tx.Query(sqlOwn, n.Kind, n.Name)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func(r db.Rows) error {
		var rule string
		var most int64
		err := r.Scan(&rule, &most)
		if own == nil {
			own = map[string]int64{}
		}
		own[rule] = most
		return err
	})
	return own, err
}
