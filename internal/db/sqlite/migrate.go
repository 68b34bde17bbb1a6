package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

// steps lists which steps of which package the database has.
const steps = `CREATE TABLE IF NOT EXISTS schema_step (
	package TEXT NOT NULL,
	number  INTEGER NOT NULL,
	applied INTEGER NOT NULL, -- microseconds since 1970
	PRIMARY KEY (package, number)
) WITHOUT ROWID`

// Migrate is db.DB's. Each step is a transaction of its own.
func (d *DB) Migrate(ctx context.Context, schemas ...db.Schema) error {
	ctx = db.WithReserve(ctx)
	err := d.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(steps))
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	// All are looked at before the first is changed.
	pending, err := d.pending(ctx, schemas)
	if err != nil {
		return err
	}
	for _, s := range pending {
		if err := d.step(ctx, s); err != nil {
			return fmt.Errorf("migrate %s to step %d: %w", s.Package, s.Number, err)
		}
	}
	return nil
}

// Pending is db.DB's.
func (d *DB) Pending(ctx context.Context, schemas ...db.Schema) ([]db.Step, error) {
	var tables int
	err := d.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM sqlite_schema WHERE name = 'schema_step'"), nil, &tables)
	})
	if err != nil {
		return nil, err
	}
	if tables == 0 {
		return db.StepsAfter(schemas, make([]int, len(schemas)), db.Stmt.Common), nil
	}
	return d.pending(ctx, schemas)
}

func (d *DB) pending(ctx context.Context, schemas []db.Schema) ([]db.Step, error) {
	have := make([]int, len(schemas))
	for i, s := range schemas {
		var err error
		if have[i], err = d.version(ctx, s); err != nil {
			return nil, err
		}
	}
	return db.StepsAfter(schemas, have, db.Stmt.Common), nil
}

// version returns the last step of s that the database has.
func (d *DB) version(ctx context.Context, s db.Schema) (have int, err error) {
	err = d.Read(ctx, func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT coalesce(max(number), 0) FROM schema_step WHERE package = ?"),
			[]any{s.Package}, &have)
	})
	if err != nil {
		return 0, fmt.Errorf("migrate %s: %w", s.Package, err)
	}
	if have > len(s.Steps) {
		return 0, fmt.Errorf("%w (%s has step %d, this version knows %d)", db.ErrNewer, s.Package, have, len(s.Steps))
	}
	return have, nil
}

func (d *DB) step(ctx context.Context, s db.Step) error {
	return d.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(db.SQL(s.SQL)); err != nil {
			return err
		}
		_, err := tx.Exec(db.SQL("INSERT INTO schema_step (package, number, applied) VALUES (?, ?, ?)"),
			s.Package, s.Number, time.Now().UnixMicro())
		return err
	})
}
