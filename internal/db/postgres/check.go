package postgres

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// checks are queries that give a sentence for each fault.
func checks() []string {
	return []string{
		`SELECT 'index ' || c.relname || ' is not valid: REINDEX it' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND n.nspname = current_schema()`,
		`SELECT 'constraint ' || conname || ' is not validated' FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
			WHERE NOT convalidated AND n.nspname = current_schema()`,
		`SELECT checksum_failures || ' pages failed their checksum, the last at ' || checksum_last_failure FROM pg_stat_database
			WHERE datname = current_database() AND checksum_failures > 0`,
	}
}

// references lists the foreign keys of one column.
const references = `SELECT child.relname::text, a.attname::text, parent.relname::text, b.attname::text FROM pg_constraint k
	JOIN pg_namespace n ON n.oid = k.connamespace AND n.nspname = current_schema()
	JOIN pg_class child ON child.oid = k.conrelid JOIN pg_class parent ON parent.oid = k.confrelid
	JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
	JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
	WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 ORDER BY 1, 2`

// Check looks at what PostgreSQL knows to be wrong and walks all references,
// which also reads the tables.
func (d *DB) Check(ctx context.Context, report func(fault string)) error {
	for _, sql := range checks() {
		if err := d.each(ctx, sql, func(r db.Rows) error {
			var line string
			err := r.Scan(&line)
			report("database: " + line)
			return err
		}); err != nil {
			return fmt.Errorf("check of the database: %w", err)
		}
	}
	type reference struct{ child, column, parent, key string }
	var all []reference
	err := d.each(ctx, references, func(r db.Rows) error {
		var f reference
		err := r.Scan(&f.child, &f.column, &f.parent, &f.key)
		all = append(all, f)
		return err
	})
	for _, f := range all {
		if err != nil {
			break
		}
		sql := fmt.Sprintf("SELECT c.%s FROM %s c LEFT JOIN %s p ON p.%s = c.%s WHERE p.%s IS NULL AND c.%s IS NOT NULL LIMIT 1000",
			f.column, f.child, f.parent, f.key, f.column, f.key, f.column)
		err = d.each(ctx, sql, func(r db.Rows) error {
			var value any
			err := r.Scan(&value)
			report(fmt.Sprintf("database: %s %v of %s refers to a row that %s does not have", f.column, value, f.child, f.parent))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("check of references: %w", err)
	}
	return nil
}

func (d *DB) each(ctx context.Context, sql string, scan func(db.Rows) error) error {
	return d.Read(ctx, func(tx *db.Tx) error {
		rows, err := tx.Query(db.SQL(sql))
		if err != nil {
			return err
		}
		return db.Each(rows, scan)
	})
}
