// Package rate decides how much an account, a domain or a key may send.
package rate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Kind is whose sending is counted.
type Kind uint8

// The kinds of a Subject. Their numbers are stored.
const (
	Account Kind = iota + 1
	Domain
	Key
)

// String is the word for a kind.
func (k Kind) String() string {
	switch k {
	case Account:
		return "account"
	case Domain:
		return "domain"
	default:
		return "key"
	}
}

// Subject is one account, domain or key.
type Subject struct {
	Kind Kind
	Name string // the id as text, or the domain in ASCII
}

// ForAccount is an account as a subject.
func ForAccount(id mail.ID) Subject { return Subject{Account, id.String()} }

// ForDomain is a domain as a subject.
func ForDomain(d mail.Domain) Subject { return Subject{Domain, d.ASCII} }

// ForKey is an API key as a subject.
func ForKey(id mail.ID) Subject { return Subject{Key, id.String()} }

// Sender is who sends a message: it counts for all three of them.
type Sender struct {
	Account mail.ID     // zero = nobody who is counted
	Domain  mail.Domain // of that account
	Key     mail.ID     // zero = none was used
}

func (s Sender) subjects() []Subject {
	list := []Subject{ForAccount(s.Account)}
	if !s.Domain.IsZero() {
		list = append(list, ForDomain(s.Domain))
	}
	if s.Key != 0 {
		list = append(list, ForKey(s.Key))
	}
	return list
}

// Options are what a Limiter is made of.
type Options struct {
	DB db.DB
	// Defaults are the limits of those that have none of their own. They may
	// change by a reload.
	Defaults func(Kind) Limits
	// Hold is to hold what an account has in the queue, Release to let it go
	// on. Hold may be called again for the same account. nil = nothing is done.
	Hold, Release func(context.Context, mail.ID) error
	// Waiting tells how many recipients Release would let go on. nil = none.
	Waiting func(context.Context, mail.ID) (int, error)
	Logger  *slog.Logger
	Metrics *Metrics // nil = none
	Clock   Clock
}

// Limiter counts and refuses. It may be used by many goroutines.
type Limiter struct {
	o     Options
	clock clock
	wake  chan struct{} // Run
	turn  chan struct{} // taken by who works on the queues of held accounts

	mu       sync.Mutex
	version  uint64 // counts administrative changes, so that a slow reader leaves nothing stale
	subjects map[Subject]*subject
	contacts map[contact]int64    // days on which they were written to last
	results  map[mail.ID]*results // of the last hour
	suspects map[mail.ID]bool     // to be judged
	sudden   map[mail.ID]string   // to be held, with the reason
	again    map[mail.ID]bool     // whose queue is to be held once more
	unknown  bool                 // whether rows may wait to be settled
	erased   bool                 // whether accounts ended since erase looked
	folded   int64                // the last day that is in send_usual
}

// Open returns a Limiter over tables that Schema describes. Run has to be
// running for accounts to be held.
func Open(ctx context.Context, o Options) (*Limiter, error) {
	l := &Limiter{
		o: o, clock: o.Clock.start(), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1), unknown: true,
		subjects: map[Subject]*subject{}, contacts: map[contact]int64{}, results: map[mail.ID]*results{},
		suspects: map[mail.ID]bool{}, sudden: map[mail.ID]string{}, again: map[mail.ID]bool{},
	}
	return l, l.recover(ctx)
}

// How often Run looks for what it was not told.
const (
	settleEvery = time.Minute
	sweepEvery  = time.Hour
)

// Run holds accounts that send suddenly, and drops what is too old and what is left
// of accounts that ended, until ctx ends.
func (l *Limiter) Run(ctx context.Context) {
	settle := time.NewTicker(settleEvery)
	defer settle.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	l.tidy(ctx)
	for {
		l.guard(ctx)
		select {
		case <-l.wake:
		case <-settle.C:
		case <-sweep.C:
			l.tidy(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (l *Limiter) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// failed logs what Run could not do and will try again.
func (l *Limiter) failed(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		l.o.Logger.Error("the limits of senders are not kept up to date, it is tried again", "step", what, "error", err)
	}
}

func (l *Limiter) tidy(ctx context.Context) { l.failed(ctx, "sweep", l.Sweep(ctx)) }
