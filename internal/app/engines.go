package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/blob/pg"
	"github.com/hayauma/hayauma/internal/blob/s3"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/postgres"
	"github.com/hayauma/hayauma/internal/db/sqlite"
	"github.com/hayauma/hayauma/internal/mail"
)

// databasePath is where the embedded database is; its lock stands for the whole folder.
func databasePath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "hayauma.db") }

// packsPath is where bodies are that no other engine keeps.
func packsPath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "bodies") }

// openDatabase opens the engine that storage.database names.
func (s *storage) openDatabase(ctx context.Context, cfg *config.Config, m *storeMetrics, log *slog.Logger) (db.DB, error) {
	path := databasePath(cfg)
	if cfg.Storage.IsPostgres() {
		at, err := cfg.Storage.DatabaseURL()
		if err != nil {
			return nil, err
		}
		folder, err := sqlite.Lock(path + sqlite.LockSuffix)
		if err != nil {
			return nil, err
		}
		d, err := postgres.Open(ctx, postgres.Options{URL: at, Logger: log, Place: place(cfg), Serves: s.serves, Observe: m.committed})
		if err != nil {
			return nil, errors.Join(err, folder.Close())
		}
		s.folder = folder
		return d, nil
	}
	o := sqlite.Options{
		Path: path, Logger: log,
		MinFree: s.minFree.Load, Observe: m.committed,
	}
	spare := spareIn(cfg)
	d, err := sqlite.Open(ctx, o)
	switch {
	case err == nil:
		spare.hold(log)
	case errors.Is(err, db.ErrFull) && spare.release():
		log.Warn("the disk is full: the room that was held for a start is given back; let mail go or delete some, or make room", "file", spare.path)
		return sqlite.Open(ctx, o)
	}
	return d, err
}

// place is where a process with these settings works. The lock of the folder has
// only one of them there.
func place(cfg *config.Config) string {
	host, err := os.Hostname()
	if err != nil {
		host = cfg.Hostname
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		dir = cfg.DataDir
	}
	return host + ":" + dir
}

// openBodies opens the store that storage.bodies names.
func (s *storage) openBodies(ctx context.Context, cfg *config.Config, m *storeMetrics, log *slog.Logger) (blob.Store, error) {
	switch {
	case cfg.Storage.Bodies == config.BodiesInDatabase:
		return pg.Open(pg.Options{DB: s.db, IDs: s.ids, Logger: log, Memory: s.memory}), nil
	case cfg.Storage.IsS3():
		o, err := s3Options(cfg)
		if err != nil {
			return nil, err
		}
		o.Spool = filepath.Join(cfg.DataDir, "spool")
		if err := makeFolder(o.Spool); err != nil {
			return nil, fmt.Errorf("folder for large bodies under way: %w", err)
		}
		o.DB, o.IDs, o.Logger, o.Memory, o.Observer = s.db, s.ids, log, s.memory, s3.Observer{Put: m.synced}
		return s3.Open(ctx, o)
	}
	return pack.Open(ctx, pack.Options{
		Dir: packsPath(cfg), DB: s.db, IDs: s.ids, Logger: log,
		Erase: cfg.Storage.DeadBodies, MinFree: int64(cfg.Storage.MinFree),
		Memory: s.memory, Observer: pack.Observer{Synced: m.synced},
	})
}

// bodySchema is the tables of the store that storage.bodies names.
func bodySchema(cfg *config.Config) db.Schema {
	switch {
	case cfg.Storage.Bodies == config.BodiesInDatabase:
		return pg.Schema()
	case cfg.Storage.IsS3():
		return s3.Schema()
	}
	return pack.Schema()
}

// s3Options are those of the S3 service that storage.bodies names.
func s3Options(cfg *config.Config) (o s3.Options, err error) {
	if o.Location, err = s3.ParseURL(cfg.Storage.Bodies); err != nil {
		return o, fmt.Errorf("storage.bodies: %w", err)
	}
	keys, err := cfg.Storage.BodiesKeys()
	if err != nil {
		return o, err
	}
	o.AccessKey, o.SecretKey = keys.Access, keys.Secret
	o.CacheSize, o.Erase = int64(cfg.Storage.BodiesCache), cfg.Storage.DeadBodies
	return o, nil
}

// sameBodies refuses a database whose bodies are kept by another store than the
// settings name: their rows would lead nowhere.
func sameBodies(ctx context.Context, d db.DB, cfg *config.Config) error {
	want := bodySchema(cfg)
	for _, s := range []struct {
		db.Schema
		kept string
	}{{pack.Schema(), "in files in data_dir (storage.bodies = \"\")"}, {pg.Schema(), "in the database (storage.bodies = \"postgres\")"},
		{s3.Schema(), "in an S3 service"}} {
		if s.Package == want.Package {
			continue
		}
		pending, err := d.Pending(ctx, s.Schema)
		if err == nil && len(pending) < len(s.Steps) || errors.Is(err, db.ErrNewer) {
			return fmt.Errorf("storage.bodies = %q: this database keeps its bodies %s; put the setting back, "+
				"or move them with 'hayauma storage copy'", cfg.Storage.Bodies, s.kept)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkTimeout bounds how long an engine may take to answer a check.
const checkTimeout = 20 * time.Second

// checkEngines asks the services that the settings name whether they can be
// trusted with mail.
func checkEngines(ctx context.Context, cfg *config.Config) (warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if cfg.Storage.IsPostgres() {
		at, err := cfg.Storage.DatabaseURL()
		if err != nil {
			return nil, err
		}
		faults, err := postgres.Inspect(ctx, at)
		for _, f := range faults.Fatal {
			err = errors.Join(err, fmt.Errorf("storage.database: %s", f))
		}
		if warnings = faults.Warnings; err != nil {
			return warnings, err
		}
	}
	if cfg.Storage.IsS3() {
		o, err := s3Options(cfg)
		if err != nil {
			return warnings, err
		}
		o.IDs = mail.NewIDs(0, 0)
		if err := s3.Probe(ctx, o); err != nil {
			return warnings, fmt.Errorf("storage.bodies: %w", err)
		}
	}
	return warnings, nil
}
