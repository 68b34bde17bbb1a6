package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Bounds of what is kept, all of which is held in memory.
const (
	maxRoutes = 1000
	maxRules  = 100_000
)

// Errors of changes.
var (
	ErrNoRoute = errors.New("there is no such route: 'hayauma route list' shows those that there are")
	ErrNoRule  = errors.New("there is no such rule: 'hayauma route rule list' shows those that there are")
	ErrMany    = errors.New("there are as many as can be kept: remove some first")
)

// Options are what a Store is made of.
type Options struct {
	DB     db.DB
	Logger *slog.Logger
}

// Store keeps routes and rules, and answers from memory. It may be used by many
// goroutines.
type Store struct {
	o     Options
	again chan struct{} // asks Watch to read

	mu      sync.Mutex
	version uint64 // counts the changes, so that a slow reader leaves nothing stale
	known   atomic.Pointer[table]
}

// Open reads what is set.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{o: o, again: make(chan struct{}, 1)}
	return s, s.load(ctx)
}

func (s *Store) load(ctx context.Context) error {
	for {
		s.mu.Lock()
		version := s.version
		s.mu.Unlock()
		var t *table
		err := s.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
			t, err = read(tx)
			return err
		})
		if err != nil {
			return fmt.Errorf("routes: %w", err)
		}
		if s.keep(t, version) {
			return nil
		}
	}
}

// keep takes over what was read unless something changed since version.
func (s *Store) keep(t *table, version uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version != version {
		return false
	}
	s.known.Store(t)
	return true
}

// stale has the tables read again.
func (s *Store) stale() {
	s.mu.Lock()
	s.version++
	s.mu.Unlock()
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// topic is under which processes tell each other of changes.
const topic = "route"

// readEvery is how old the tables can be in a process that missed the notice of
// another, or could not read at its time.
const readEvery = 5 * time.Second

// Watch reads the tables again after others have changed them, until ctx ends.
func (s *Store) Watch(ctx context.Context) {
	var poll <-chan time.Time
	listening, stop := context.WithCancel(ctx)
	defer stop()
	if s.o.DB.Listen(listening, topic, func([]int64) { s.stale() }) {
		t := time.NewTicker(readEvery)
		defer t.Stop()
		poll = t.C
	}
	for {
		select {
		case <-s.again:
		case <-poll:
		case <-ctx.Done():
			return
		}
		if err := s.load(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.Warn("the routes cannot be read; what was read before holds", "error", err)
		}
	}
}

// Choose returns the rule that decides how mail goes, false if there is none.
func (s *Store) Choose(q Question) (Rule, bool) { return s.known.Load().choose(q) }

// SiteFor is where a recipient goes: by a route, or to his domain.
func (s *Store) SiteFor(q Question) string {
	if r, ok := s.Choose(q); ok && r.Route != Direct {
		return Site(r.Route)
	}
	return q.To.ASCII
}

// Get returns a route by its name.
func (s *Store) Get(name string) (Route, bool) {
	r, ok := s.known.Load().routes[name]
	return r, ok
}

// Routes are all routes, by name.
func (s *Store) Routes() []Route { return slices.Clone(s.known.Load().list) }

// Rules are all rules in the order in which they are asked.
func (s *Store) Rules() []Rule {
	out := slices.Clone(s.known.Load().order)
	rank := []What{Recipient, Account, Sender, Tenant, Everyone}
	slices.SortStableFunc(out, func(a, b Rule) int {
		return cmp.Compare(slices.Index(rank, a.What), slices.Index(rank, b.What))
	})
	return out
}

// write makes a change, has it hold here, and tells others of it.
func (s *Store) write(ctx context.Context, fn func(*db.Tx) error) error {
	if err := s.o.DB.Write(db.WithReserve(ctx), fn); err != nil {
		return err
	}
	s.o.DB.Announce(topic, 0)
	s.stale()
	return s.load(ctx)
}

// Set makes a route, or changes the one of that name. Without a secret it keeps the
// one that it has, if its user stays the same, and that of a proxy that stays the same.
func (s *Store) Set(ctx context.Context, r Route) error {
	old, ok := s.Get(r.Name)
	if ok && r.Secret == "" && r.User == old.User && r.Kind == old.Kind && r.Auth == old.Auth {
		r.Secret = old.Secret
	}
	if ok && r.ProxySecret == "" && r.Proxy == old.Proxy {
		r.ProxySecret = old.ProxySecret
	}
	if err := r.Check(); err != nil {
		return err
	}
	return s.write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(deleteHosts, r.Name); err != nil {
			return err
		}
		rows := make([][]any, 0, len(r.Hosts))
		for _, h := range r.Hosts {
			rows = append(rows, []any{r.Name, h.Name, h.Port, h.Preference, h.Weight})
		}
		if err := tx.Insert(insertHost, rows...); err != nil {
			return err
		}
		err := tx.Insert(insertRoute, []any{r.Name, string(r.Kind), r.TLS, r.User, string(r.Secret), mail.Micros(time.Now()), r.URL, string(r.Auth), r.Proxy,
			string(r.ProxySecret)})
		return errors.Join(err, bounded(tx, countRoutes, maxRoutes))
	})
}

// bounded refuses a change that made more rows than there may be.
func bounded(tx *db.Tx, count db.Stmt, most int) error {
	var n int
	err := tx.Row(count, nil, &n)
	if err == nil && n > most {
		err = ErrMany
	}
	return err
}

// Remove removes a route that no rule names.
func (s *Store) Remove(ctx context.Context, name string) error {
	return s.write(ctx, func(tx *db.Tx) error {
		var rules int
		if err := tx.Row(countRulesTo, []any{name}, &rules); err != nil {
			return err
		}
		if rules > 0 {
			return fmt.Errorf("%d of the rules choose the route: change or remove them first, see 'hayauma route rule list'", rules)
		}
		if _, err := tx.Exec(deleteHosts, name); err != nil {
			return err
		}
		n, err := tx.Exec(deleteRoute, name)
		if err == nil && n == 0 {
			err = ErrNoRoute
		}
		return err
	})
}

// SetRule makes a rule, or changes the one for the same mail.
func (s *Store) SetRule(ctx context.Context, r Rule) error {
	r, err := r.normal()
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *db.Tx) error {
		if r.Route != Direct {
			var n int
			if err := tx.Row(countRoute, []any{r.Route}, &n); err != nil {
				return err
			}
			if n == 0 {
				return ErrNoRoute
			}
		}
		err := tx.Insert(insertRule, []any{string(r.What), r.Value, r.Route, mail.Micros(time.Now())})
		return errors.Join(err, bounded(tx, countRules, maxRules))
	})
}

// RemoveRule takes a rule back; its route is not looked at.
func (s *Store) RemoveRule(ctx context.Context, r Rule) error {
	r, err := r.normal()
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(deleteRule, string(r.What), r.Value)
		if err == nil && n == 0 {
			err = ErrNoRule
		}
		return err
	})
}
