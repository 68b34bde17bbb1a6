package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/postgres"
	"github.com/hayauma/hayauma/internal/move"
)

// CopyOptions say what a copy of an installation does.
type CopyOptions struct {
	From, To    *config.Config
	SkipDamaged bool // see move.Options
	Logger      *slog.Logger
	Progress    func(move.Progress)
}

// Copy copies everything that is stored, from the engines of one configuration
// to those of another, and compares both sides. No server may use either. A copy
// that was cut off goes on where it was.
func Copy(ctx context.Context, o CopyOptions) (report move.Report, err error) {
	tuneMemory()
	if o.From.DataDir == o.To.DataDir {
		return report, errors.New("both configurations have the same data_dir: give the new one a folder of its own")
	}
	if err := Installed(o.From); err != nil {
		return report, fmt.Errorf("the storage to copy from: %w", err)
	}
	from, err := openIdle(ctx, o.From, o.Logger)
	if err != nil {
		return report, fmt.Errorf("the storage to copy from: %w", err)
	}
	defer func() { err = errors.Join(err, from.close()) }()
	to, err := openIdle(ctx, o.To, o.Logger)
	if err != nil {
		return report, fmt.Errorf("the storage to copy to: %w", err)
	}
	defer func() { err = errors.Join(err, to.close()) }()
	return move.Run(ctx, move.Options{
		From: move.Side{DB: from.db, Blobs: from.blobs}, To: move.Side{DB: to.db, Blobs: to.blobs},
		Schemas: append([]db.Schema{account.Schema()}, restSchemas()...), References: references(),
		SkipDamaged: o.SkipDamaged, Logger: o.Logger, Progress: o.Progress,
	})
}

// copyCache is memory for bodies read from S3 during a copy, which needs each of
// them once.
const copyCache = 1 << 20

// openIdle opens storage that nobody serves from.
func openIdle(ctx context.Context, cfg *config.Config, log *slog.Logger) (s *storage, err error) {
	own := *cfg
	own.Storage.BodiesCache = copyCache
	err = whileInUse(ctx, commandPatience, func() (err error) {
		s, err = openStorage(ctx, &own, false, newStoreMetrics(prometheus.NewRegistry()), log)
		return err
	})
	if errors.Is(err, db.ErrInUse) {
		err = fmt.Errorf("%w: stop the server first", err)
	}
	return s, err
}

// Pending tells which steps of the tables the next start would take. With
// PostgreSQL a server may run meanwhile.
func Pending(ctx context.Context, cfg *config.Config, log *slog.Logger) (steps []db.Step, err error) {
	if cfg.Storage.IsPostgres() {
		at, err := cfg.Storage.DatabaseURL()
		if err != nil {
			return nil, err
		}
		return postgres.Pending(ctx, at, schemas(cfg)...)
	}
	if err := Installed(cfg); err != nil {
		return nil, err
	}
	s := &storage{}
	s.minFree.Store(databaseMinFree(cfg))
	if s.db, err = s.openDatabase(ctx, cfg, newStoreMetrics(prometheus.NewRegistry()), log); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return s.db.Pending(ctx, schemas(cfg)...)
}
