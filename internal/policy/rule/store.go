package rule

import (
	"context"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Options are what a Store is made of.
type Options struct {
	DB  db.DB
	IDs *mail.IDs
	// StandsFor is the address that another way to write a postmaster leads to;
	// others stand for themselves. nil = all do.
	StandsFor func(context.Context, mail.Address) (mail.Address, error)
}

// Store keeps the rules and brings messages before them. It may be used by many
// goroutines.
type Store struct {
	o Options

	mu      sync.Mutex
	version uint64 // counts the changes, so that a slow reader leaves nothing stale
	known   []*compiled
	loaded  bool
}

// New returns the rules over tables that Schema describes.
func New(o Options) *Store { return &Store{o: o} }

// Open begins the judging of a transaction. Its error, which is temporary, says
// that the rules cannot be read.
func (s *Store) Open(ctx context.Context, f Facts) (*Case, error) {
	rules, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	return s.newCase(rules, f), nil
}

// rules returns what the last change left, from memory if it can.
func (s *Store) rules(ctx context.Context) ([]*compiled, error) {
	known, loaded, version := s.remembered()
	if loaded {
		return known, nil
	}
	written, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	rules := make([]*compiled, 0, len(written))
	for _, w := range written {
		r, err := compile(w)
		if err != nil {
			return nil, unreadable(w.Name, err)
		}
		rules = append(rules, r)
	}
	s.remember(rules, version)
	return rules, nil
}

func (s *Store) remembered() (rules []*compiled, loaded bool, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known, s.loaded, s.version
}

// remember keeps rules unless something changed since version.
func (s *Store) remember(rules []*compiled, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version == version {
		s.known, s.loaded = rules, true
	}
}

// forget lets the next who asks read the rules anew.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.known, s.loaded = nil, false
}

// noticeTopic is under which processes tell each other of changed rules.
const noticeTopic = "policy/rule"

// forgetEvery is how old the rules can be in a process that missed the notice of
// another.
const forgetEvery = 5 * time.Second

// Watch has the rules read again after other processes changed them, until ctx
// ends. It returns at once where no other process can use the database.
func (s *Store) Watch(ctx context.Context) {
	if !s.o.DB.Listen(ctx, noticeTopic, func([]int64) { s.forget() }) {
		return
	}
	forget := time.NewTicker(forgetEvery)
	defer forget.Stop()
	for {
		select {
		case <-forget.C:
			s.forget()
		case <-ctx.Done():
			return
		}
	}
}

// List returns the rules in their order.
func (s *Store) List(ctx context.Context) (rules []Rule, err error) {
	err = s.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		rules, err = load(tx)
		return err
	})
	return rules, err
}
