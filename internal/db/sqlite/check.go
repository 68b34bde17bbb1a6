package sqlite

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// Check runs SQLite's own checks of pages, indexes and foreign keys.
func (d *DB) Check(ctx context.Context, report func(fault string)) error {
	return d.Read(ctx, func(tx *db.Tx) error {
		rows, err := tx.Query(db.SQL("PRAGMA integrity_check"))
		if err != nil {
			return fmt.Errorf("integrity check: %w", err)
		}
		err = db.Each(rows, func(r db.Rows) error {
			var line string
			err := r.Scan(&line)
			if err == nil && line != "ok" {
				report("database: " + line)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("integrity check: %w", err)
		}
		return checkReferences(tx, report)
	})
}

func checkReferences(tx *db.Tx, report func(string)) error {
	rows, err := tx.Query(db.SQL(`SELECT "table", coalesce(rowid, 0), parent FROM pragma_foreign_key_check`))
	if err != nil {
		return fmt.Errorf("check of references: %w", err)
	}
	return db.Each(rows, func(r db.Rows) error {
		var table, parent string
		var row int64
		err := r.Scan(&table, &row, &parent)
		if err == nil {
			report(fmt.Sprintf("database: row %d of %s refers to a row that %s does not have", row, table, parent))
		}
		return err
	})
}
