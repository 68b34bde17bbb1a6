package shaping

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const ruleColumns = "id, provider, code, enhanced, text, times, action, wait, connections, rate, changed"

var (
	selectRules = db.SQL("SELECT " + ruleColumns + " FROM shaping_reply ORDER BY id")
	insertRule  = db.SQL("INSERT INTO shaping_reply (" + ruleColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
	deleteRule  = db.SQL("DELETE FROM shaping_reply WHERE id = ?")
	countRules  = db.SQL("SELECT COUNT(*), coalesce(max(id), 0) FROM shaping_reply")
)

// ErrNoRule says that there is no rule of the operator's with a number.
var ErrNoRule = errors.New("there is no reply rule with this number: 'hayauma outbound reply list' shows them")

// Rules are those of the operator, the oldest first.
func (s *Store) Rules(ctx context.Context) (out []Rule, err error) {
	err = s.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = nil
		rows, err := tx.Query(selectRules)
		if err != nil {
			return err
		}
		return db.Each(rows, func(row db.Rows) error {
			var r Rule
			var changed int64
			err := row.Scan(&r.ID, &r.Provider, &r.Code, &r.Enhanced, &r.Text, &r.Times, &r.Do, &r.Wait, &r.Connections, &r.Rate, &changed)
			r.From = set(changed, r.Provider)
			out = append(out, r)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("rules for replies of providers: %w", err)
	}
	return out, nil
}

// set is the origin of what the operator has set.
func set(changed int64, provider string) string {
	return fmt.Sprintf("set on %s for %s", mail.FromMicros(changed).Format(time.DateOnly), provider)
}

// RulesFor are the rules that a provider's replies are held against, in their order.
func (s *Store) RulesFor(provider string) ([]Rule, error) {
	name, err := ProviderName(provider)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Rule
	if name != Everyone {
		out = append(out, s.rules[name]...)
	}
	return append(append(out, s.rules[Everyone]...), s.replies[name]...), nil
}

// AddRule adds a rule of the operator, which gets a number; it holds from the next
// reply on.
func (s *Store) AddRule(ctx context.Context, r Rule) (Rule, error) {
	name, err := ProviderName(r.Provider)
	if err == nil {
		err = r.read()
	}
	if err != nil {
		return r, err
	}
	now := mail.Micros(time.Now())
	r.Provider, r.From = name, set(now, name)
	err = s.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		var n, last int64
		if err := tx.Row(countRules, nil, &n, &last); err != nil {
			return err
		}
		if n >= maxRules {
			return fmt.Errorf("there are %d reply rules already: remove some first", n)
		}
		r.ID = last + 1
		_, err := tx.Exec(insertRule, r.ID, r.Provider, r.Code, r.Enhanced, r.Text, r.Times, string(r.Do), r.Wait, r.Connections, r.Rate, now)
		return err
	})
	if err != nil {
		return r, err
	}
	return r, s.load(ctx)
}

// RemoveRule ends a rule of the operator.
func (s *Store) RemoveRule(ctx context.Context, id int64) error {
	err := s.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		n, err := tx.Exec(deleteRule, id)
		if err == nil && n == 0 {
			return ErrNoRule
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.load(ctx)
}

// HasRule tells whether the operator has a rule with a number.
func (s *Store) HasRule(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rules := range s.rules {
		if slices.ContainsFunc(rules, func(r Rule) bool { return r.ID == id }) {
			return true
		}
	}
	return false
}

// loadRules reads the rules of the operator by their providers.
func (s *Store) loadRules(ctx context.Context) (map[string][]Rule, error) {
	list, err := s.Rules(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]Rule{}
	for _, r := range list {
		if err := r.read(); err != nil {
			return nil, fmt.Errorf("reply rule %d cannot be read: %w; 'hayauma outbound reply remove %d' ends it", r.ID, err, r.ID)
		}
		out[r.Provider] = append(out[r.Provider], r)
	}
	return out, nil
}
