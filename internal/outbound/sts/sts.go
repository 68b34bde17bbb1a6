// Package sts knows the MTA-STS policies of the domains that mail goes to: it
// finds them, keeps them as long as they hold, and renews them before they end.
package sts

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

const (
	// lookEvery is how long the id of a domain, that it has none, or a failed
	// fetch is not looked at again (RFC 8461 §3.3 asks for five minutes).
	lookEvery = 5 * time.Minute
	// lookSoon is the same where DNS did not tell.
	lookSoon = time.Minute
)

// Options are what a Store is made of.
type Options struct {
	DB db.DB
	// TXT returns the TXT records of a name, the strings of each joined; an
	// error that is ErrNotFound or ErrNoData of package dnsx says
	// that there are none.
	TXT   func(ctx context.Context, name string) ([]string, error)
	Fetch func(ctx context.Context, domain string) (mtasts.Policy, error)
	// InUse tells whether policies are to be renewed; nil = they are.
	InUse  func() bool
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger
}

// Store may be used by many goroutines.
type Store struct {
	o Options

	mu   sync.Mutex
	mem  memory
	busy map[string]chan struct{} // domains that somebody looks at; closed when he is done
}

// New returns a Store on the table of Schema.
func New(o Options) *Store {
	if o.InUse == nil {
		o.InUse = func() bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{o: o, mem: memory{entries: map[string]entry{}}, busy: map[string]chan struct{}{}}
}

// Held is what is known of a domain's policy.
type Held struct {
	mtasts.Policy // Mode is empty where none holds

	ID      string // of the record under which it was fetched
	Fetched time.Time
	Expires time.Time

	// What went wrong when it was last looked at, though the domain announces a
	// policy or one holds: as a TLS report calls it (RFC 8460 §4.3.2.2), and in
	// words. Empty = nothing.
	Failure string
	Reason  string
}

// holds tells whether the policy may still be applied (RFC 8461 §5.1).
func (h Held) holds(now time.Time) bool { return h.Mode != "" && !now.After(h.Expires) }

// at is what holds at a time.
func (h Held) at(now time.Time) Held {
	if h.holds(now) {
		return h
	}
	return Held{Failure: h.Failure, Reason: h.Reason}
}

// Lookup returns the policy of a domain, by its A-labels, that holds now. It may
// ask DNS and the policy host for up to a minute or two, once in five minutes for
// each domain; what cannot be had from them is no error, and what was had before
// holds on until it expires. The error is of the database, or of ctx.
func (s *Store) Lookup(ctx context.Context, domain string) (Held, error) {
	for {
		now := s.o.Now()
		s.mu.Lock()
		e, ok := s.mem.entries[domain]
		if ok && now.Before(e.again) {
			s.mu.Unlock()
			return e.at(now), nil
		}
		s.mu.Unlock()
		mine, err := s.enter(ctx, domain)
		if err != nil {
			return Held{}, err
		}
		if !mine {
			continue // somebody else has looked
		}
		e, err = s.look(ctx, domain, now)
		s.leave(domain, e, err)
		return e.at(now), err
	}
}

// enter makes the caller the one who looks at a domain, or waits until another
// one has done so. Nobody looks for others who has given up himself.
func (s *Store) enter(ctx context.Context, domain string) (mine bool, err error) {
	s.mu.Lock()
	done, busy := s.busy[domain]
	if !busy {
		s.busy[domain] = make(chan struct{})
	}
	s.mu.Unlock()
	if !busy {
		return true, nil
	}
	select {
	case <-done:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (s *Store) leave(domain string, e entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.mem.put(domain, e, s.o.Now())
	}
	close(s.busy[domain])
	delete(s.busy, domain)
}
