// Package stack is the server's parts from the storage to intake, real ones,
// put together for the tests of a door or a stage.
package stack

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/bounce"
	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/feedback"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/queue/retry"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
	"github.com/hayauma/hayauma/internal/returnpath"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/source"
)

// Hostname is the server's name in tests.
const Hostname = "mx.hayauma.test"

// Password is the password of every account that Account makes.
const Password = "a good horse"

// Options change what a Stack is made of.
type Options struct {
	Deliverer     queue.Deliverer // nil: new mail for others is held
	Retry         []time.Duration // nil: an hour
	Lifetime      time.Duration   // 0: five days
	DelayNotice   time.Duration
	Schedule      func(*queue.Message, mail.Domain) (waits []time.Duration, lifetime time.Duration, there bool)
	Messages      func(*intake.Settings) // changes the limits of each transaction
	RelayNetworks []netip.Prefix
	LoginFailures int          // per address; 0 = no limit
	DefaultQuota  func() int64 // nil: none
	SCRAM         bool
	SendLimits    rate.Limits // of accounts
	ReturnPath    returnpath.Settings
	Explain       func(reply, language string) string
	Memory        staging.Memory // of messages on their way in; nil: no limit
	// Senders tells whether the domain of a stranger's sender must exist, by Resolver.
	Senders  func() bool
	Resolver *dnsx.Resolver
	// Ask asks the host of a relay domain for a recipient; nil: it is silent.
	Ask func(context.Context, mail.Address) callahead.Answer

	// DB and Blobs put something between the engines and intake, to inject
	// their errors.
	DB    func(db.DB) db.DB
	Blobs func(blob.Store) blob.Store

	Logger *slog.Logger // nil: nobody reads it

	// Asleep leaves the queue and the reporter stopped: see Wake.
	Asleep bool
}

// Stack is a server without doors.
type Stack struct {
	DB        db.DB
	Blobs     blob.Store
	IDs       *mail.IDs
	Directory *account.Directory
	Bans      *ban.List
	Gate      *account.Gate
	Mailboxes *mailbox.Store
	Queue     *queue.Queue
	Intake    *intake.Intake
	Policy    *policy.Policy
	Ahead     *callahead.Book
	Rules     *rule.Store
	Rates     *rate.Limiter
	History   *event.Log
	Classes   *classify.Classifier
	Paths     *returnpath.Paths
	Routes    *route.Store
	Reporter  *bounce.Reporter

	t testing.TB
}

// Schemas are the tables of every package in the order in which they refer to each
// other, with those of a store for bodies.
func Schemas(bodies ...db.Schema) []db.Schema {
	return append(append([]db.Schema{account.Schema()}, bodies...),
		ban.Schema(), mailbox.Schema(), queue.Schema(), retry.Schema(), event.Schema(), rule.Schema(), rate.Schema(), callahead.Schema(),
		shaping.Schema(), route.Schema(), source.Schema(), intake.Schema(), sts.Schema(), tlsreport.Schema())
}

// New returns a stack on storage in a folder of the test. Intake, queue and
// reporter run until the test ends.
func New(t testing.TB, o Options) *Stack {
	t.Helper()
	log := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.DefaultQuota == nil {
		o.DefaultQuota = func() int64 { return 0 }
	}
	s := &Stack{t: t, IDs: mail.NewIDs(0, 0)}
	s.DB = dbtest.New(t, Schemas(pack.Schema())...)
	blobs, err := pack.Open(t.Context(), pack.Options{
		Dir: t.TempDir(), DB: s.DB, IDs: s.IDs, Logger: log, Prealloc: 1 << 20, PackSize: 4 << 20, MinFree: -1, Memory: o.Memory,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Blobs = blobs
	t.Cleanup(func() {
		if err := blobs.Close(); err != nil {
			t.Errorf("close the bodies: %v", err)
		}
	})
	s.domain(log, o)
	s.way(log, o)
	if !o.Asleep {
		s.Wake()
	}
	return s
}

func (s *Stack) domain(log *slog.Logger, o Options) {
	s.Mailboxes = mailbox.New(mailbox.Options{DB: s.DB, Blobs: s.Blobs, IDs: s.IDs, Logger: log})
	s.Directory = account.New(account.Options{
		DB: s.DB, IDs: s.IDs, Logger: log,
		Postmaster:   func() mail.Address { return mail.Address{} },
		DefaultQuota: func() int64 { return o.DefaultQuota() },
		Created:      func(tx *db.Tx, a account.Account) error { return s.Mailboxes.Provision(tx, a.ID) },
		Removed: func(tx *db.Tx, a account.Account) error {
			return errors.Join(s.Mailboxes.Erase(tx, a.ID), s.Routes.Erase(tx, a.ID))
		},
	})
	s.Bans = ban.New(ban.Options{DB: s.DB, Limit: o.LoginFailures, Logger: log})
	s.Gate = account.NewGate(account.GateOptions{
		Directory: s.Directory, Bans: s.Bans, SCRAM: func() bool { return o.SCRAM }, Logger: log,
	})
	s.History = event.NewLog(s.DB, s.IDs)
	s.Paths = returnpath.New(returnpath.Options{
		Settings: func() returnpath.Settings { return o.ReturnPath }, IsLocal: s.Directory.IsLocal,
		Key: func(ctx context.Context) ([]byte, error) { return s.Directory.Secret(ctx, "return paths") },
	})
	routes, err := route.Open(s.t.Context(), route.Options{DB: s.DB, Logger: log})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Routes = routes
	s.start(s.Routes.Watch)
	s.Rules = rule.New(rule.Options{DB: s.DB, IDs: s.IDs, StandsFor: s.Directory.StandsFor})
	rates, err := rate.Open(s.t.Context(), rate.Options{
		DB: s.DB, Logger: log,
		Defaults: func(k rate.Kind) rate.Limits {
			if k == rate.Account {
				return o.SendLimits
			}
			return rate.Limits{}
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.Rates = rates
	if o.Ask == nil {
		o.Ask = func(context.Context, mail.Address) callahead.Answer { return callahead.Answer{} }
	}
	s.Ahead = callahead.New(callahead.Options{DB: s.DB, Ask: o.Ask, Timeout: func() time.Duration { return 10 * time.Second }, Logger: log})
	s.t.Cleanup(s.Ahead.Close)
	s.Policy = policy.New(policy.Options{
		Directory: s.Directory, RelayNetworks: func() []netip.Prefix { return o.RelayNetworks },
		CheckFrom: func() bool { return true }, CheckSender: o.Senders, Resolver: o.Resolver, Ahead: s.Ahead,
	})
}

// way builds the mail's way; o.DB and o.Blobs stand before intake alone.
func (s *Stack) way(log *slog.Logger, o Options) {
	classes, err := classify.New()
	if err != nil {
		s.t.Fatal(err)
	}
	s.Classes = classes
	if len(o.Retry) == 0 {
		o.Retry = []time.Duration{time.Hour}
	}
	if o.Lifetime == 0 {
		o.Lifetime = 5 * 24 * time.Hour
	}
	s.Queue = queue.New(queue.Options{
		DB: s.DB, IDs: s.IDs, Deliverer: local{s: s, others: o.Deliverer},
		Observer: s.Rates.Observer(event.NewRecorder(s.IDs, s.Classes, nil)), Logger: log, Schedule: o.Schedule,
		Settings: func() queue.Settings {
			return queue.Settings{
				Hold: o.Deliverer == nil, Retry: o.Retry, Lifetime: o.Lifetime, DelayNotice: o.DelayNotice,
				Memory: 1 << 20, Concurrency: 10, PerSite: 2, Grace: 5 * time.Second,
			}
		},
	})
	limits := func() intake.Settings {
		set := intake.Settings{Hostname: Hostname, MessageSize: 10 << 20, HeaderSize: 256 << 10, Recipients: 1000}
		if o.Messages != nil {
			o.Messages(&set)
		}
		return set
	}
	in := intake.Options{
		DB: s.DB, Blobs: s.Blobs, IDs: s.IDs, Directory: s.Directory, Mailboxes: s.Mailboxes, Queue: s.Queue, Rates: s.Rates, Site: s.site,
		Reports:  feedback.New(feedback.Options{Paths: s.Paths, Directory: s.Directory, History: s.History}),
		Settings: limits,
		Metrics:  intake.NewMetrics(prometheus.NewRegistry()), Logger: log,
	}
	if o.DB != nil {
		in.DB = o.DB(s.DB)
	}
	if o.Blobs != nil {
		in.Blobs = o.Blobs(s.Blobs)
	}
	s.Intake = intake.New(in)
	s.start(func(ctx context.Context) { s.Intake.Run(ctx) })
	s.Reporter = bounce.New(bounce.Options{
		DB: s.DB, Blobs: s.Blobs, IDs: s.IDs, Queue: s.Queue, Intake: s.Intake,
		Hostname: func() string { return Hostname }, Logger: log, Explain: o.Explain,
	})
}

// site is where mail goes that is not for here.
func (s *Stack) site(ctx context.Context, by intake.Sender, to mail.Domain) string {
	relay, err := s.Directory.Relay(ctx, to)
	return s.Routes.SiteFor(route.Question{To: to, Account: by.Account, From: by.From, Tenant: by.Tenant, Relay: relay != nil || err != nil})
}

// Wake starts the queue and the reporter.
func (s *Stack) Wake() {
	s.WakeQueue()
	s.WakeReporter()
}

// WakeQueue starts the queue alone.
func (s *Stack) WakeQueue() {
	s.start(func(ctx context.Context) {
		if err := s.Queue.Run(ctx); err != nil && ctx.Err() == nil {
			s.t.Errorf("queue: %v", err)
		}
	})
}

// WakeReporter starts the reporter alone.
func (s *Stack) WakeReporter() { s.start(s.Reporter.Run) }

// start runs f until the test ends; later starts end first.
func (s *Stack) start(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var ended sync.WaitGroup
	ended.Go(func() { f(ctx) })
	s.t.Cleanup(func() {
		cancel()
		ended.Wait()
	})
}

// local is the deliverer of a stack, whose intake is made after its queue.
type local struct {
	s      *Stack
	others queue.Deliverer
}

// Deliver implements queue.Deliverer.
func (l local) Deliver(ctx context.Context, site string, next func() *queue.Job, done func(*queue.Job, []queue.Outcome)) {
	intake.NewLocal(l.s.Intake, l.others).Deliver(ctx, site, next, done)
}

// Deliver is a deliverer that asks a function for each recipient's outcome; each has a
// transaction of his own.
type Deliver func(m *queue.Message, r queue.Recipient) queue.Outcome

// Deliver implements queue.Deliverer.
func (f Deliver) Deliver(_ context.Context, _ string, next func() *queue.Job, done func(*queue.Job, []queue.Outcome)) {
	for job := next(); job != nil; job = next() {
		var out []queue.Outcome
		for i, r := range job.Recipients {
			if i > 0 {
				may := job.Course.Another(out, job.Recipients[i:])
				if out = nil; len(may) == 0 {
					break
				}
			}
			o := f(job.Message, r)
			now := mail.Micros(time.Now())
			o.Recipient, o.Started, o.Ended = r.ID, now, now
			out = append(out, o)
		}
		done(job, out)
	}
}
