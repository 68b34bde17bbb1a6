// Package shaping knows what the providers of mailboxes bear: what they have
// published, and what the operator has set.
package shaping

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue/retry"
	"github.com/hayauma/hayauma/internal/route"
)

// Everyone is the provider whose limits hold for all that have none of their own.
const Everyone = "*"

// Limit is one limit, and where it comes from.
type Limit struct {
	Key   Key
	Value string
	From  string // in words: who says so
}

// Set is the limits of one provider by their keys.
type Set map[Key]Limit

// Number returns a limit that is a number, 0 if there is none.
func (s Set) Number(k Key) int {
	n, _ := k.number(s[k].Value) // what is stored was checked
	return n
}

// Rate returns the limit of messages in a time, zeros if there is none.
func (s Set) Rate() (messages int, per time.Duration) {
	messages, per, _ = parseRate(s[Rate].Value)
	return messages, per
}

// Waits returns the waits between attempts, nil if nothing is said of them.
func (s Set) Waits() []time.Duration {
	waits, _ := retry.ParseWaits(s[Retry].Value) // what is stored was checked
	return waits
}

// Row is a limit that the operator has set.
type Row struct {
	Provider string
	Key      Key
	Value    string
	Changed  int64 // microseconds
}

// Options are what a Store is made of.
type Options struct {
	DB       db.DB
	Defaults func() Set // what holds where nothing else does: settings
}

// Store answers what holds for a provider. It may be used by many goroutines.
type Store struct {
	o       Options
	shipped map[string]Set
	replies map[string][]Rule
	titles  map[string]string
	version atomic.Uint64

	mu    sync.Mutex
	rows  map[string]Set    // of the operator
	rules map[string][]Rule // of the operator, the oldest first
	seen  map[string]*tally
}

// Open reads what was shipped and what is set.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{o: o, seen: map[string]*tally{}}
	var err error
	if s.shipped, s.titles, err = shippedLimits(); err != nil {
		return nil, err
	}
	if s.replies, err = shippedReplies(); err != nil {
		return nil, err
	}
	return s, s.load(ctx)
}

func (s *Store) load(ctx context.Context) error {
	list, err := s.Rows(ctx)
	if err != nil {
		return err
	}
	rules, err := s.loadRules(ctx)
	if err != nil {
		return err
	}
	rows := map[string]Set{}
	for _, r := range list {
		if rows[r.Provider] == nil {
			rows[r.Provider] = Set{}
		}
		rows[r.Provider][r.Key] = Limit{Key: r.Key, Value: r.Value, From: set(r.Changed, r.Provider)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows, s.rules = rows, rules
	s.version.Add(1)
	return nil
}

// Version is another one after each change of what the operator has set.
func (s *Store) Version() uint64 { return s.version.Load() }

// For returns the limits that hold for a provider: the operator's for it, what it
// has published, the operator's for everyone, the settings.
func (s *Store) For(provider string) Set {
	out := s.o.Defaults()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, set := range []Set{s.rows[Everyone], s.shipped[provider], s.rows[provider]} {
		maps.Copy(out, set)
	}
	return out
}

// TLSRule is what the operator asks of connections to a site: what is set for it, for
// its provider, for everyone. The rule is empty if nothing is.
func (s *Store) TLSRule(site, provider string) (rule string, despite bool, from string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{site, provider, Everyone} {
		if l, ok := s.rows[name][TLS]; ok {
			rule, despite, _ = parseTLS(l.Value) // what is stored was checked
			return rule, despite, l.From
		}
	}
	return "", false, ""
}

// Title names a provider as people know it, "" if nothing was shipped for it.
func (s *Store) Title(provider string) string { return s.titles[provider] }

// Providers are those that something is known of, sorted; the limits of all others are
// Everyone's.
func (s *Store) Providers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]bool{}
	for name := range s.shipped {
		all[name] = true
	}
	for name := range s.rows {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}

var selectRows = db.SQL("SELECT provider, name, value, changed FROM shaping_limit ORDER BY provider, name")

// Rows are the limits that the operator has set.
func (s *Store) Rows(ctx context.Context) (out []Row, err error) {
	err = s.o.DB.Read(ctx, func(tx *db.Tx) error {
		out = nil
		rows, err := tx.Query(selectRows)
		if err != nil {
			return err
		}
		return db.Each(rows, func(rows db.Rows) error {
			var r Row
			err := rows.Scan(&r.Provider, &r.Key, &r.Value, &r.Changed)
			out = append(out, r)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("limits of providers: %w", err)
	}
	return out, nil
}

// maxRows bounds the limits that are set, and so what is held in memory.
const maxRows = 10_000

var (
	upsertRow = db.Insert{Into: "shaping_limit", Columns: []string{"provider", "name", "value", "changed"},
		Conflict: "ON CONFLICT (provider, name) DO UPDATE SET value = excluded.value, changed = excluded.changed"}
	deleteRow = db.SQL("DELETE FROM shaping_limit WHERE provider = ? AND name = ?")
	countRows = db.SQL("SELECT COUNT(*) FROM shaping_limit")
)

// Change is what somebody wants of the limits of a provider, or of everyone.
type Change struct {
	Set   map[Key]string
	Unset []Key // taken back before others are set; one that is not set is no error
}

func (c Change) check() error {
	for _, k := range slices.Sorted(maps.Keys(c.Set)) {
		if err := k.check(c.Set[k]); err != nil {
			return err
		}
	}
	for _, k := range c.Unset {
		if err := k.known(); err != nil {
			return err
		}
	}
	return nil
}

// Change makes a change as a whole or not at all; it holds from the next message on.
func (s *Store) Change(ctx context.Context, provider string, c Change) error {
	name, err := ProviderName(provider)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return err
	}
	now := mail.Micros(time.Now())
	rows := make([][]any, 0, len(c.Set))
	for k, value := range c.Set {
		rows = append(rows, []any{name, string(k), value, now})
	}
	err = s.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) error {
		for _, k := range c.Unset {
			if _, err := tx.Exec(deleteRow, name, string(k)); err != nil {
				return err
			}
		}
		if err := tx.Insert(upsertRow, rows...); err != nil {
			return err
		}
		var n int
		if err := tx.Row(countRows, nil, &n); err != nil {
			return err
		}
		if n > maxRows && len(rows) > 0 {
			return fmt.Errorf("%d limits are as many as may be set: take some back first", maxRows)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.load(ctx)
}

// Set sets one limit.
func (s *Store) Set(ctx context.Context, provider string, k Key, value string) error {
	return s.Change(ctx, provider, Change{Set: map[Key]string{k: value}})
}

// ProviderName is the name of a provider as sites have it. Its error says what may be
// written.
func ProviderName(s string) (string, error) {
	if s == Everyone {
		return s, nil
	}
	if name, ok := route.OfSite(s); ok {
		return s, route.CheckName(name)
	}
	d, err := mail.ParseDomain(s)
	if err != nil {
		return "", fmt.Errorf("%q is no provider: give the domain of its mail exchangers as 'hayauma outbound explain' shows it, route:NAME, or * for everyone: %w", s, err)
	}
	return d.ASCII, nil
}
