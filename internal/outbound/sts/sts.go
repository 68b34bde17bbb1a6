// Package sts knows the MTA-STS policies of the domains that mail goes to: it
// finds them, keeps them as long as they hold, and renews them before they end.
package sts

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/stackroom"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

const (
	// lookEvery is how long the id of a domain, that it has none, or a failed
	// fetch is not looked at again (RFC 8461 §3.3 asks for five minutes), unless a
	// policy ends before.
	lookEvery = 5 * time.Minute
	// lookSoon is the same where DNS did not tell, and the least of it in any case.
	lookSoon = time.Minute
	// waitHeld is how long a message waits for a look where a policy holds that it can
	// go by, waitNone where there is none: the look goes on, and is for those who come
	// later. Of a host that does not answer a message knows no more after a minute.
	waitHeld = 3 * time.Second
	waitNone = 20 * time.Second
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

	mu    sync.Mutex
	mem   memory
	busy  map[string]*looking // domains
	index index

	indexing sync.Mutex // held while the index is made
}

// looking is a look at a domain that is under way.
type looking struct {
	done chan struct{} // closed at its end
	slow bool          // somebody has waited for it in vain; Store.mu guards it
	// Valid after done.
	e   entry
	err error
}

// New returns a Store on the table of Schema.
func New(o Options) *Store {
	if o.InUse == nil {
		o.InUse = func() bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{o: o, mem: memory{entries: map[string]entry{}}, busy: map[string]*looking{}}
}

// Held is what is known of a domain's policy.
type Held struct {
	mtasts.Policy // Mode is empty where none holds

	ID      string // of the record under which it was fetched
	Fetched time.Time
	Expires time.Time

	// What went wrong when it was last looked at, though the domain announces a
	// policy or one holds: as a TLS report calls it (RFC 8460 §4.3.2.2), in words
	// that strangers may read, and in full, for us. Empty = nothing.
	Failure string
	Reason  string
	Cause   string
}

// holds tells whether the policy may still be applied (RFC 8461 §5.1).
func (h Held) holds(now time.Time) bool { return h.Mode != "" && !now.After(h.Expires) }

// at is what holds at a time.
func (h Held) at(now time.Time) Held {
	if h.holds(now) {
		return h
	}
	return Held{Failure: h.Failure, Reason: h.Reason, Cause: h.Cause}
}

// Lookup returns the policy of a domain, by its A-labels, that holds now. DNS and the
// policy host are asked once in five minutes for each domain, for all who want to know;
// that may take a minute or two, of which Lookup waits for some seconds. What cannot be
// had from them, or not by then, is no error, and what was had before holds on until it
// expires. The error is of the database, or of ctx, which has to last for the look.
func (s *Store) Lookup(ctx context.Context, domain string) (Held, error) {
	now := s.o.Now()
	if h, fresh := s.remembered(domain, now); fresh {
		return h, nil
	}
	if s.announcesNothing(ctx, domain, now) {
		return Held{}, nil
	}
	return s.await(ctx, domain)
}

// announcesNothing finds out by one question that a domain of which nothing is stored has
// no policy: so it is with most, and it takes nobody who looks for all.
func (s *Store) announcesNothing(ctx context.Context, domain string, now time.Time) bool {
	if s.isBusy(domain) {
		return false
	}
	if may, err := s.mayHave(ctx, domain); may || err != nil {
		return false
	}
	if _, err := s.announced(ctx, domain, waitHeld); !errors.Is(err, mtasts.ErrNoRecord) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.mem.entries[domain]; s.busy[domain] != nil || ok && now.Before(e.again) {
		return false // somebody else knows more
	}
	s.mem.put(domain, entry{again: again(Held{}, now)}, now)
	return true
}

func (s *Store) isBusy(domain string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy[domain] != nil
}

// remembered is what holds for a domain, and whether it need not be looked at anew.
func (s *Store) remembered(domain string, now time.Time) (h Held, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.mem.entries[domain]
	return e.at(now), ok && now.Before(e.again)
}

// await looks at a domain, or waits for somebody who does.
func (s *Store) await(ctx context.Context, domain string) (Held, error) {
	began := time.NewTimer(waitHeld)
	defer began.Stop()
	patience := began.C
	for waited := false; ; {
		now := s.o.Now()
		if h, fresh := s.remembered(domain, now); fresh {
			return h, nil
		}
		l, mine := s.enter(domain)
		if mine {
			go s.search(ctx, domain, l, now)
		} else if s.isSlow(l) {
			return s.known(ctx, domain)
		}
		for done := false; !done; {
			select {
			case <-l.done:
				if mine {
					return l.e.at(now), l.err
				}
				done = true // somebody else has looked
			case <-ctx.Done():
				return Held{}, context.Cause(ctx)
			case <-patience:
				h, err := s.known(ctx, domain)
				if err != nil || h.Mode != "" || waited {
					s.setSlow(l)
					return h, err
				}
				waited = true
				began.Reset(waitNone - waitHeld)
			}
		}
	}
}

var errLook = errors.New("the look at the domain's policy failed here")

// search looks at a domain for all who wait for it.
func (s *Store) search(ctx context.Context, domain string, l *looking, now time.Time) {
	stackroom.Reserve()
	e, err := entry{}, errLook
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("panic in the look at a policy", "domain", domain, "panic", p, "stack", string(debug.Stack()))
		}
		s.leave(domain, l, e, err)
	}()
	e, err = s.look(ctx, domain, now)
}

// known is what holds for a domain by what was found before.
func (s *Store) known(ctx context.Context, domain string) (Held, error) {
	now := s.o.Now()
	s.mu.Lock()
	e, ok := s.mem.entries[domain]
	s.mu.Unlock()
	if ok {
		return e.at(now), nil
	}
	r, err := s.find(ctx, domain)
	return r.at(now), err
}

// enter makes the caller the one who looks at a domain, unless another one does.
func (s *Store) enter(domain string) (l *looking, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.busy[domain]; l != nil {
		return l, false
	}
	l = &looking{done: make(chan struct{})}
	s.busy[domain] = l
	return l, true
}

func (s *Store) isSlow(l *looking) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.slow
}

func (s *Store) setSlow(l *looking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.slow = true
}

func (s *Store) leave(domain string, l *looking, e entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.mem.put(domain, e, s.o.Now())
	}
	l.e, l.err = e, err
	delete(s.busy, domain)
	close(l.done)
}
