package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hayauma/hayauma/internal/db"
)

// stepTable lists which steps of which package the database has, as the
// embedded engine does it.
const stepTable = `CREATE TABLE IF NOT EXISTS schema_step (
	package TEXT COLLATE "C" NOT NULL,
	number  BIGINT NOT NULL,
	applied BIGINT NOT NULL, -- microseconds since 1970
	PRIMARY KEY (package, number)
)`

func dialect(s db.Stmt) string { return declaration(s.ForPostgres()) }

// Migrate is db.DB's. Each step is a transaction of its own; an advisory lock
// keeps others from migrating meanwhile.
func (d *DB) Migrate(ctx context.Context, schemas ...db.Schema) error {
	c, err := d.writers.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", wrap(err))
	}
	defer c.Release()
	if _, err := c.Exec(ctx, "SELECT pg_advisory_lock($1, hashtext(current_schema()))", int32(migrateKey)); err != nil {
		return fmt.Errorf("migrate: %w", wrap(err))
	}
	err = migrate(ctx, c.Conn(), schemas)
	if _, uerr := c.Exec(ctx, "SELECT pg_advisory_unlock($1, hashtext(current_schema()))", int32(migrateKey)); uerr != nil {
		_ = c.Conn().Close(ctx) // the lock ends with it
	}
	return err
}

func migrate(ctx context.Context, c *pgx.Conn, schemas []db.Schema) error {
	if _, err := c.Exec(ctx, stepTable); err != nil {
		return fmt.Errorf("migrate: %w", wrap(err))
	}
	pending, err := pendingSteps(ctx, c, schemas)
	if err != nil {
		return err
	}
	for _, s := range pending {
		if err := step(ctx, c, s); err != nil {
			return fmt.Errorf("migrate %s to step %d: %w", s.Package, s.Number, wrap(err))
		}
	}
	return nil
}

func step(ctx context.Context, c *pgx.Conn, s db.Step) error {
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Conn().PgConn().Exec(ctx, s.SQL).ReadAll(); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO schema_step (package, number, applied) VALUES ($1, $2, $3)",
			s.Package, s.Number, time.Now().UnixMicro())
		return err
	})
}

// Pending is db.DB's.
func (d *DB) Pending(ctx context.Context, schemas ...db.Schema) ([]db.Step, error) {
	c, err := d.readers.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", wrap(err))
	}
	defer c.Release()
	return pending(ctx, c.Conn(), schemas)
}

// Pending is DB.Pending for a database that another process may be using.
func Pending(ctx context.Context, url string, schemas ...db.Schema) ([]db.Step, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	c, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("storage.database: %w", wrap(err))
	}
	defer closeConn(c)
	return pending(ctx, c, schemas)
}

func pending(ctx context.Context, c *pgx.Conn, schemas []db.Schema) ([]db.Step, error) {
	var there bool
	if err := c.QueryRow(ctx, "SELECT to_regclass('schema_step') IS NOT NULL").Scan(&there); err != nil {
		return nil, fmt.Errorf("migrate: %w", wrap(err))
	}
	if !there {
		return db.StepsAfter(schemas, make([]int, len(schemas)), dialect), nil
	}
	return pendingSteps(ctx, c, schemas)
}

func pendingSteps(ctx context.Context, c *pgx.Conn, schemas []db.Schema) ([]db.Step, error) {
	have := make([]int, len(schemas))
	for i, s := range schemas {
		err := c.QueryRow(ctx, "SELECT coalesce(max(number), 0) FROM schema_step WHERE package = $1", s.Package).Scan(&have[i])
		if err != nil {
			return nil, fmt.Errorf("migrate %s: %w", s.Package, wrap(err))
		}
		if have[i] > len(s.Steps) {
			return nil, fmt.Errorf("%w (%s has step %d, this version knows %d)", db.ErrNewer, s.Package, have[i], len(s.Steps))
		}
	}
	return db.StepsAfter(schemas, have, dialect), nil
}
