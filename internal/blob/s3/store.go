package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// closeWithin is how long Close tries to give reserved intents back.
const closeWithin = 5 * time.Second

// Store is a blob.Store in a bucket and a database. See the package comment.
type Store struct {
	opt    Options
	db     db.DB
	log    *slog.Logger
	client *client
	owner  mail.ID // this process, among those that write to the database

	ctx    context.Context // ends with the store; for work of its own
	cancel context.CancelFunc
	stop   chan struct{} // closed by Close
	gone   chan struct{} // closed when the committer has ended
	wg     sync.WaitGroup
	once   sync.Once

	queue   chan *job
	slots   chan struct{} // held while an object of small bodies is sent
	large   chan struct{} // held while a large body is sent
	intents reserver
	health  health
	area    staging.Area // bodies being written
	cache   cache
	places  blob.Places[place]
	pending pending

	sweepMu sync.Mutex // one Sweep or Check at a time
	cursor  mail.ID    // how far the running sweep has come
	unfit   map[mail.ID]bool
	erase   atomic.Int64 // nanoseconds
}

var _ blob.Store = (*Store)(nil)

const (
	// puts and larges are how many requests of a kind are under way at once,
	// so that the time that one takes is not the time of all.
	puts   = 4
	larges = 4
)

// Open makes a store ready. It asks nothing of the service: where that is away,
// Health says so after the first bodies, and Probe at once.
func Open(_ context.Context, opt Options) (*Store, error) {
	opt.setDefaults()
	if err := opt.check(); err != nil {
		return nil, fmt.Errorf("open body store: %w", err)
	}
	c, err := newClient(&opt)
	if err != nil {
		return nil, fmt.Errorf("open body store: %w", err)
	}
	s := &Store{
		opt: opt, db: opt.DB, log: opt.Logger, client: c, owner: opt.IDs.Next(),
		stop: make(chan struct{}), gone: make(chan struct{}),
		queue: make(chan *job, 256), slots: make(chan struct{}, puts), large: make(chan struct{}, larges),
		unfit: map[mail.ID]bool{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.area.Memory = opt.Memory
	s.erase.Store(int64(opt.Erase))
	s.cache.init(opt.CacheSize)
	s.pending.init()
	s.intents.init(s)
	s.wg.Go(s.commitLoop)
	s.wg.Go(s.probeLoop)
	return s, nil
}

func (o *Options) check() error {
	if o.DB == nil || o.IDs == nil {
		return errors.New("no database or no ids given")
	}
	return o.Location.check()
}

// SetErase changes what Options gave as Erase.
func (s *Store) SetErase(erase time.Duration) {
	orElse(&erase, DefaultErase)
	s.erase.Store(int64(erase))
}

// key is where an object lies in the bucket.
func (s *Store) key(object mail.ID) string { return s.opt.under(bodiesFolder + object.String()) }

// bodiesFolder is where all objects lie; the rest of the bucket is not ours.
const bodiesFolder = "bodies/"

// closed returns an error once Close was called.
func (s *Store) closed() error {
	select {
	case <-s.stop:
		return errClosed
	default:
		return nil
	}
}

// Health implements blob.Store.
func (s *Store) Health() error {
	if err := s.closed(); err != nil {
		return err
	}
	return s.health.check()
}

// begin takes sweepMu for a walk over everything and gives it a context that
// also ends with the store.
func (s *Store) begin(ctx context.Context) (context.Context, func(), error) {
	s.sweepMu.Lock()
	if err := s.closed(); err != nil {
		s.sweepMu.Unlock()
		return ctx, nil, err
	}
	ctx, end := s.with(ctx)
	return ctx, func() { end(); s.sweepMu.Unlock() }, nil
}

// with returns a context that ends with ctx and with the store.
func (s *Store) with(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(context.Canceled) }
}

// Close answers what waits and ends the store. It is safe to call it again.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.stop)
		s.cancel()
		s.wg.Wait()
		s.sweepMu.Lock() // ends soon: its context has ended
		defer s.sweepMu.Unlock()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), closeWithin)
		defer cancel()
		if err := s.intents.giveBack(ctx); err != nil {
			s.log.Info("unused intents stay for a later sweep", "error", err)
		}
		s.client.close()
	})
	return nil
}
