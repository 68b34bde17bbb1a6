package shaping

import "github.com/hayauma/hayauma/internal/db"

// Schema is the tables of this package.
//
//   - shaping_limit: one row per limit that the operator has set for a provider, or
//     for everyone under the name *.
func Schema() db.Schema {
	return db.Schema{Package: "shaping", Steps: []db.Stmt{db.SQL(`
CREATE TABLE shaping_limit (
	provider TEXT NOT NULL,
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	changed INTEGER NOT NULL,
	PRIMARY KEY (provider, name)
);
`)}}
}
