package pack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Defaults of Options.
const (
	DefaultGrace    = time.Hour
	DefaultErase    = 30 * 24 * time.Hour
	DefaultPrealloc = 32 << 20
	DefaultPackSize = 512 << 20
)

// Options are what a store needs. Dir, DB and IDs have no default.
type Options struct {
	Dir    string // made if it is not there
	DB     db.DB  // already migrated with Schema
	IDs    *mail.IDs
	Logger *slog.Logger // nil = silent

	// Grace is how old a body is at least before a sweep deletes it, and how
	// long one that was committed but never recorded is kept.
	Grace time.Duration
	// Erase is the longest that the bytes of a deleted body stay in a pack.
	Erase time.Duration
	// Prealloc is how many octets are zeroed and synced ahead of need.
	Prealloc int64
	// PackSize is where a pack ends. One group of bodies may exceed it.
	PackSize int64
	// MinFree is how many octets of the file system are never used by new
	// bodies; 0 = the larger of 1 % and 512 MiB, negative = none.
	MinFree int64

	// AcceptDamage starts a store in spite of rows whose bytes are missing or
	// damaged. Those bodies give blob.ErrCorrupt. Nothing is deleted for it.
	AcceptDamage bool

	Memory   staging.Memory // nil = no limit on bodies being written
	Observer Observer       // zero = nobody watches

	disk disk // nil = the folder Dir
}

// Observer is told what happens. Its functions may be nil; they are called from
// the committer and must not block.
type Observer struct {
	// Synced is called after each group: how many bodies and octets shared a
	// sync and how long write and sync took together.
	Synced func(bodies int, octets int64, took time.Duration)
}

var errClosed = errors.New("the body store is closed")

// Store is a blob.Store in a folder and a database. See the package comment.
type Store struct {
	opt  Options
	db   db.DB
	log  *slog.Logger
	disk disk
	lock io.Closer
	sums *sums

	ctx    context.Context // ends with the store; for work of its own
	cancel context.CancelFunc
	stop   chan struct{} // closed by Close
	gone   chan struct{} // closed when the committer has ended
	wg     sync.WaitGroup
	once   sync.Once

	queue    chan *job
	batches  chan *batch
	failed   atomic.Pointer[error] // why the store takes no more bodies
	keep     keeper
	space    space
	area     staging.Area // bodies being written
	pools    pools        // bodies being read
	files    handles
	places   blob.Places[place]
	prepared prepared
	pending  pending

	sweepMu sync.Mutex // one Sweep or Check at a time
	cursor  mail.ID    // how far the running sweep has come
	unfit   map[int64]bool
	erase   atomic.Int64 // nanoseconds
	born    mail.ID      // larger than the id of any body of earlier runs
}

var _ blob.Settler = (*Store)(nil)

// Open recovers the store in a folder and makes it ready. It refuses, without
// changing anything, when rows and files do not fit together.
func Open(ctx context.Context, opt Options) (_ *Store, err error) {
	opt.setDefaults()
	s := &Store{
		opt: opt, db: opt.DB, log: opt.Logger, disk: opt.disk,
		stop: make(chan struct{}), gone: make(chan struct{}), queue: make(chan *job, 256), batches: make(chan *batch),
		unfit: map[int64]bool{}, born: opt.IDs.Next(),
	}
	s.area.Memory = opt.Memory
	s.erase.Store(int64(opt.Erase))
	s.keep.init(s)
	s.space.init(s.disk, opt.MinFree)
	s.files.init(s.disk)
	s.pending.init()
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			s.cancel()
			err = errors.Join(err, s.closeFiles())
		}
	}()
	if err := s.openFolder(); err != nil {
		return nil, fmt.Errorf("open body store %s: %w", opt.Dir, err)
	}
	if err := s.recover(ctx); err != nil {
		return nil, fmt.Errorf("open body store %s: %w", opt.Dir, err)
	}
	s.wg.Go(s.keep.run)
	s.wg.Go(s.commitLoop)
	return s, nil
}

// SetLimits changes what Options gave as Erase and MinFree.
func (s *Store) SetLimits(erase time.Duration, minFree int64) {
	if erase == 0 {
		erase = DefaultErase
	}
	s.erase.Store(int64(erase))
	s.space.setMinFree(minFree)
}

func (o *Options) setDefaults() {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Erase == 0 {
		o.Erase = DefaultErase
	}
	if o.Prealloc <= 0 {
		o.Prealloc = DefaultPrealloc
	}
	if o.PackSize <= 0 {
		o.PackSize = DefaultPackSize
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.disk == nil {
		o.disk = osDisk{dir: o.Dir}
	}
}

// openFolder makes the folders, takes the lock and loads the secret.
func (s *Store) openFolder() error {
	for _, name := range []string{"", "packs", "large"} {
		if err := s.disk.mkdir(name); err != nil {
			return err
		}
	}
	var err error
	if s.lock, err = s.disk.lock("lock"); err != nil {
		return err
	}
	secret, err := s.loadSecret()
	if err != nil {
		return err
	}
	s.sums, err = newSums(secret)
	return err
}

// loadSecret reads the store's secret, or makes it where there are no packs yet.
func (s *Store) loadSecret() (_ []byte, err error) {
	f, err := s.disk.open("secret", os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return s.makeSecret()
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	secret := make([]byte, secretLen)
	if _, err := f.ReadAt(secret, 0); err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return secret, nil
}

func (s *Store) makeSecret() ([]byte, error) {
	for _, dir := range []string{"packs", "large"} {
		names, err := s.disk.list(dir)
		if err != nil {
			return nil, err
		}
		if len(names) > 0 {
			return nil, errors.New("the file secret is missing but there are bodies: restore it from a backup (nothing was changed)")
		}
	}
	secret := make([]byte, secretLen)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	f, err := s.disk.open("secret.new", os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(secret, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("write secret: %w", err)
	}
	if err := s.disk.rename("secret.new", "secret"); err != nil {
		return nil, err
	}
	// The folder itself was perhaps made just now, so its name is synced too.
	return secret, errors.Join(s.disk.syncDir(""), s.disk.syncDir(".."))
}

// fail makes the store refuse bodies from now on. Only the first cause counts.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: %w", blob.ErrSealed, cause)
	if s.failed.CompareAndSwap(nil, &err) {
		s.log.Error("body store sealed", "error", cause)
	}
	s.keep.wake()
	return *s.failed.Load()
}

func (s *Store) failure() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// closed returns an error once Close was called.
func (s *Store) closed() error {
	select {
	case <-s.stop:
		return errClosed
	default:
		return nil
	}
}

// refuses returns why the store takes no more bodies until a restart.
func (s *Store) refuses() error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.closed()
}

// Health implements blob.Store.
func (s *Store) Health() error {
	if err := s.refuses(); err != nil {
		return err
	}
	return s.space.check()
}

// begin takes sweepMu for a walk over everything and gives it a context that
// also ends with the store.
func (s *Store) begin(ctx context.Context) (context.Context, func(), error) {
	s.sweepMu.Lock()
	if err := s.closed(); err != nil {
		s.sweepMu.Unlock()
		return ctx, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel(); s.sweepMu.Unlock() }, nil
}

// Close answers what waits and ends the store. It is safe to call it again.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.stop)
		s.cancel()
		s.keep.close()
		s.wg.Wait()
		s.sweepMu.Lock() // ends soon: its context has ended
		defer s.sweepMu.Unlock()
		err = s.closeFiles()
	})
	return err
}

func (s *Store) closeFiles() error {
	err := errors.Join(s.keep.closeFiles(), s.files.close())
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}
