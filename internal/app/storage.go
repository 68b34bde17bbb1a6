package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/blob/s3"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/queue/retry"
	"github.com/hayauma/hayauma/internal/ratelimit"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/source"
)

// storage is the engines: the database and the bodies.
type storage struct {
	db      db.DB
	blobs   blob.Store
	ids     *mail.IDs
	memory  *ratelimit.Budget
	minFree atomic.Int64 // of the embedded database; below 0 = its own rule
	serves  bool         // from it, and is no command
	folder  io.Closer    // keeps others out of data_dir where no database there does
}

// bodyWait is how long a message waits for memory before its sender is asked
// to come again.
const bodyWait = 30 * time.Second

// schemas are the tables of every package in the order in which they refer to
// each other.
func schemas(cfg *config.Config) []db.Schema {
	return append([]db.Schema{account.Schema(), bodySchema(cfg)}, restSchemas()...)
}

func restSchemas() []db.Schema {
	return []db.Schema{ban.Schema(), mailbox.Schema(), queue.Schema(), retry.Schema(), event.Schema(), rule.Schema(), rate.Schema(), callahead.Schema(), shaping.Schema(), route.Schema(), source.Schema(), intake.Schema(), sts.Schema(), tlsreport.Schema()}
}

// references are all columns that keep a body alive.
func references() []blob.Reference {
	return append(mailbox.References(), queue.References()...)
}

// openStorage opens the engines that the settings name and recovers what the
// last run left. A second process is refused by the database's lock.
func openStorage(ctx context.Context, cfg *config.Config, serves bool, m *storeMetrics, log *slog.Logger) (*storage, error) {
	if err := makeFolder(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("data_dir %s cannot be made: %w", cfg.DataDir, err)
	}
	s := &storage{serves: serves, memory: ratelimit.NewBudget(int(cfg.Limits.MemoryInFlight), bodyWait)}
	s.minFree.Store(databaseMinFree(cfg))
	database, err := s.openDatabase(ctx, cfg, m, log)
	if err != nil {
		return nil, err
	}
	s.db = database
	// A full disk must not keep us from starting: mail has to be read and
	// deleted to make room, and what recovery writes is little.
	if err := s.fill(db.WithReserve(ctx), cfg, m, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *storage) fill(ctx context.Context, cfg *config.Config, m *storeMetrics, log *slog.Logger) error {
	if err := sameBodies(ctx, s.db, cfg); err != nil {
		return err
	}
	if err := s.db.Migrate(ctx, schemas(cfg)...); err != nil {
		return err
	}
	last, err := lastID(ctx, s.db)
	if err != nil {
		return err
	}
	s.ids = mail.NewIDs(0, last)
	bodies, err := s.openBodies(ctx, cfg, m, log)
	if err != nil {
		return err // s.blobs stays nil: a nil store in it would not be
	}
	s.blobs = bodies
	return nil
}

// use takes the settings that a reload changes.
func (s *storage) use(cfg *config.Config) {
	s.memory.SetLimit(int(cfg.Limits.MemoryInFlight))
	s.minFree.Store(databaseMinFree(cfg))
	switch b := s.blobs.(type) {
	case *pack.Store:
		b.SetLimits(cfg.Storage.DeadBodies, int64(cfg.Storage.MinFree))
	case *s3.Store:
		b.SetErase(cfg.Storage.DeadBodies)
	}
}

// databaseMinFree is the setting as the database wants it: below 0 = its own
// rule.
func databaseMinFree(cfg *config.Config) int64 {
	if cfg.Storage.MinFree == 0 {
		return -1
	}
	return int64(cfg.Storage.MinFree)
}

// lastID finds the largest id that was ever kept, so that ids grow even if the
// clock went back while we were stopped.
func lastID(ctx context.Context, d db.DB) (last mail.ID, err error) {
	err = d.Read(ctx, func(tx *db.Tx) error {
		for _, table := range []string{"event", "account", "mailbox", "body", "queue_message", "queue_recipient", "policy_rule", "shaping_event"} {
			var id mail.ID
			if err := tx.Row(db.SQL("SELECT coalesce(max(id), 0) FROM "+table), nil, &id); err != nil {
				return err
			}
			last = max(last, id)
		}
		return nil
	})
	return last, err
}

func (s *storage) close() error {
	var err error
	if s.blobs != nil {
		err = s.blobs.Close()
	}
	err = errors.Join(err, s.db.Close())
	if s.folder != nil {
		err = errors.Join(err, s.folder.Close())
	}
	return err
}

// storeMetrics watches the engines.
type storeMetrics struct {
	commit, sync   prometheus.Histogram
	writes, bodies prometheus.Counter
}

func newStoreMetrics(r prometheus.Registerer) *storeMetrics {
	buckets := prometheus.ExponentialBuckets(0.0001, 2, 16)
	m := &storeMetrics{
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hayauma_db_commit_seconds", Help: "Time of one commit of the database, its sync included.", Buckets: buckets}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hayauma_bodies_sync_seconds", Help: "Time to write and sync one group of bodies.", Buckets: buckets}),
		writes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hayauma_db_writes_total", Help: "Writes that were committed; several share one commit."}),
		bodies: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hayauma_bodies_written_total", Help: "Bodies made durable."}),
	}
	r.MustRegister(m.commit, m.sync, m.writes, m.bodies)
	return m
}

func (m *storeMetrics) committed(took time.Duration, functions int) {
	m.commit.Observe(took.Seconds())
	m.writes.Add(float64(functions))
}

func (m *storeMetrics) synced(bodies int, _ int64, took time.Duration) {
	m.sync.Observe(took.Seconds())
	m.bodies.Add(float64(bodies))
}

// makeFolder makes a folder and those above it as far as they are missing, and
// makes their names durable: a folder that vanishes with the power would take
// all mail with it.
func makeFolder(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return errors.New("it is not a folder")
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	d, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
