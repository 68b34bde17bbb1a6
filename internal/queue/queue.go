package queue

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Deliverer takes messages to their site; outbound implements it.
type Deliverer interface {
	// Deliver is one worker for one site: it takes jobs by next until that
	// returns nil and reports each by done, keeping its connection meanwhile. What was
	// reported by the job's Course need not be reported again.
	// The end of ctx means that the server stops: what is not yet under way is
	// reported as NotTried, what is under way may be finished within a grace, and is
	// CutOff if only the reply to the whole message is missing then.
	Deliver(ctx context.Context, site string, next func() *Job, done func(*Job, []Outcome))
}

// Observer hears of every outcome in the commit that records it.
type Observer interface {
	Attempted(tx *db.Tx, reports []Report) error
	// Administered tells what somebody did by hand: kind is "held",
	// "released", "recalled", "deleted", "rerouted" or "failed". "recalled" is of one
	// message, and ErrTooLate if somebody has that.
	Administered(tx *db.Tx, kind string, reports []Report) error
}

// Settings are what may change by a reload.
type Settings struct {
	Hold        bool            // new mail for others is born Held
	Retry       []time.Duration // waits between attempts; the last repeats
	Lifetime    time.Duration
	DelayNotice time.Duration // 0 = never
	Memory      int64         // octets of jobs handed over in memory, 0 = none
	Concurrency int           // workers at once in all
	PerSite     int           // workers at once to one provider of which Limits does not tell more
	Grace       time.Duration // for running attempts when the server stops
}

// Options are what a Queue is made of.
type Options struct {
	DB        db.DB
	IDs       *mail.IDs
	Settings  func() Settings
	Deliverer Deliverer
	Observer  Observer
	// Provider names who takes the mail of a site: all sites of one provider share
	// its limits. "" = it cannot be told now. nil = each site has its own.
	Provider func(ctx context.Context, site string) string
	Limits   func(provider string) Limits // nil = none but Settings.PerSite
	// Schedule says how often and for how long a message is tried, of which Account,
	// Stream and Tenant are looked at, for a recipient of a domain, or without one as far
	// as it is the same for all: nil waits and a lifetime of 0 are as Settings say. There
	// says that the lifetime is the domain's. It is asked in commits and with the queue's
	// lock held, and must not ask the database. nil = for nobody.
	Schedule func(m *Message, to mail.Domain) (waits []time.Duration, lifetime time.Duration, there bool)
	// Advise says what follows for a provider from a reply that was no success.
	Advise func(provider string, o *Outcome) Advice // nil = nothing
	// Stands tells whether the operator still has a rule that advice came from. It is
	// called with the queue's lock held. nil = each of them.
	Stands func(rule int64) bool
	// Changed hears of what changes with providers. It is called with the queue's lock
	// held: it must return at once, and call nothing of the queue. nil = nobody does.
	Changed func(Change)
	Logger  *slog.Logger
	Metrics *Metrics // nil = none
	// Sleep waits for wake, for d or for the end of ctx, whichever comes first;
	// nil = by the clock alone. Who must say which of many goes on first (a
	// simulation) says it here of the scheduler.
	Sleep func(ctx context.Context, wake <-chan struct{}, d time.Duration)
}

// ErrNotFound says that the queue holds nothing under an id.
var ErrNotFound = errors.New("the queue holds no message or recipient with this id")

// Queue is the way out. It may be used by many goroutines.
type Queue struct {
	o      Options
	owner  mail.ID // of the leases of this process
	failed chan struct{}
	wake   chan struct{} // the scheduler
	arrive chan struct{} // the collector
	latest int64         // microseconds: the latest time that this process or the ids know of; the scheduler's alone
	leaps  *leaps

	mu        sync.Mutex
	sites     map[string]*site
	providers map[string]*provider
	known     map[string]known // the providers of sites
	retried   map[string]bool  // sites by "retry", whose providers are not known yet
	freed     map[string]bool  // providers whose pause was cut short: what rests for them is due
	roused    int64            // the row up to which it was made so
	lapsed    []keptDemand     // what providers do not ask for any longer, still in the database
	downs     int              // sites that are down, as the scheduler counted them last, and those since
	turn      turn
	active    int                 // workers
	busy      map[int64]int       // of them, by flow
	octets    int64               // of all leases in memory
	flows     map[int64]int64     // the same, by flow
	starved   bool                // the scheduler waits for memory
	wished    map[mail.ID]claimed // leases with a wish
	running   bool
	stop      context.Context // ends when the server stops
	stopping  bool
	stuck     bool // results cannot be recorded: hand nothing out
	rewind    int64
	risen     []risen // sites that were down: what waits for them is due
	results   []*item
	gathered  map[mail.ID]bool // messages whose reports wait for recipients that are not done
	alarm     *time.Timer      // the first of them has waited for long enough; nil = none does
	soon      bool             // it has been set to go off in a moment
	workers   sync.WaitGroup

	began      time.Time     // of the commit of results that is under way; zero = none is
	heard      time.Time     // when the database was surely this process's
	unrecorded int           // deliveries without a recorded result
	on         chan struct{} // closed when the queue hands out again; nil = nobody waits for that
	standing   bool          // a worker waits for it
}

// New returns a Queue; Run makes it deliver.
func New(o Options) *Queue {
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	owner := o.IDs.Next()
	return &Queue{
		o: o, owner: owner, latest: mail.Micros(owner.Time()), leaps: newLeaps(),
		failed: make(chan struct{}, 1), wake: make(chan struct{}, 1), arrive: make(chan struct{}, 1),
		sites: map[string]*site{}, providers: map[string]*provider{}, known: map[string]known{}, retried: map[string]bool{}, freed: map[string]bool{}, flows: map[int64]int64{}, busy: map[int64]int{},
		wished: map[mail.ID]claimed{}, gathered: map[mail.ID]bool{}, rewind: math.MinInt64,
	}
}

// signal wakes the one who waits for c, or the next to do so.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func micros() int64 { return mail.Micros(time.Now()) }
