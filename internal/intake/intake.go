package intake

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/queue"
)

// Settings are the limits of one transaction; they may change by a reload.
type Settings struct {
	Hostname    string // our name in Received
	MessageSize int64  // octets of content
	HeaderSize  int64  // octets of header
	Recipients  int    // per transaction
	HideClient  bool   // the trace of a submission does not tell where it came from
}

// Sender is by whom a message goes where it goes.
type Sender struct {
	Account mail.ID // zero = nobody logged in
	Tenant  mail.ID
	From    mail.Domain // of the envelope; zero = the null path
}

// Options are what an Intake is made of.
type Options struct {
	DB        db.DB
	Blobs     blob.Store
	IDs       *mail.IDs
	Directory *account.Directory
	Mailboxes *mailbox.Store
	Queue     *queue.Queue
	Site      func(ctx context.Context, by Sender, to mail.Domain) string // where mail for a domain elsewhere goes; nil = to the domain
	Rates     *rate.Limiter                                               // counts what accounts send; nil = nobody does
	Reports   Reports                                                     // what others tell of mail that left; nil = nobody listens
	Settings  func() Settings
	Metrics   *Metrics
	Logger    *slog.Logger
}

// Intake takes messages. It may be used by many goroutines.
type Intake struct {
	o       Options
	settler blob.Settler // nil = Options.Blobs is none
	waiting chan *entry

	mu        sync.Mutex
	confirmed []Receipt // fingerprints to lift with the next group
}

const (
	// maxGroup bounds the messages of one commit, which keeps a write near the
	// 20 ms that db asks for.
	maxGroup = 100
	// groupOctets is from when on a group takes no more: the sync of its bodies is
	// waited for where its rows are written.
	groupOctets = 4 << 20
	// maxConfirmed bounds the fingerprints waiting to be lifted; those beyond
	// stay until they are too old.
	maxConfirmed = 10000
	// keepFingerprint is how long a sender may take to repeat a transaction.
	keepFingerprint = 48 * time.Hour
	// flushEvery lifts fingerprints when no mail comes.
	flushEvery = 10 * time.Second
	pruneEvery = time.Hour
)

// New returns an Intake; Run must be running for anything to commit.
func New(o Options) *Intake {
	if o.Site == nil {
		o.Site = func(_ context.Context, _ Sender, d mail.Domain) string { return d.ASCII }
	}
	settler, _ := o.Blobs.(blob.Settler)
	return &Intake{o: o, settler: settler, waiting: make(chan *entry, 4*maxGroup)}
}

// Run commits groups until ctx ends and the doors are done: the app ends ctx
// after the last session.
func (in *Intake) Run(ctx context.Context) {
	var others sync.WaitGroup
	for range in.o.DB.Parallel() - 1 {
		others.Go(func() { in.committer(ctx) })
	}
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for {
		select {
		case e := <-in.waiting:
			in.commitGroup(in.gather(e))
		case <-flush.C:
			in.lift(ctx)
		case <-prune.C:
			in.pruneFingerprints(ctx)
		case <-ctx.Done():
			in.lift(context.WithoutCancel(ctx))
			others.Wait()
			return
		}
	}
}

// committer commits groups beside Run, where the engine can do several at once.
func (in *Intake) committer(ctx context.Context) {
	for {
		select {
		case e := <-in.waiting:
			in.commitGroup(in.gather(e))
		case <-ctx.Done():
			return
		}
	}
}

// gather takes everyone who waits right now: the group forms while the one
// before it is being synced.
func (in *Intake) gather(first *entry) []*entry {
	group := []*entry{first}
	for octets := first.body.Size; len(group) < maxGroup && octets < groupOctets; {
		select {
		case e := <-in.waiting:
			group = append(group, e)
			octets += e.body.Size
		default:
			return group
		}
	}
	return group
}
