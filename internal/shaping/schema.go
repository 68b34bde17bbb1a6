package shaping

import "github.com/hayauma/hayauma/internal/db"

// Schema is the tables of this package.
//
//   - shaping_limit: one row per limit that the operator has set for a provider, or
//     for everyone under the name *.
//   - shaping_reply: one row per rule that the operator has set for replies of a
//     provider, or of everyone. Empty or 0 is what is not looked at.
//   - shaping_event: what happened to providers, see Journal.
func Schema() db.Schema {
	return db.Schema{Package: "shaping", Steps: []db.Stmt{db.SQL(`
CREATE TABLE shaping_limit (
	provider TEXT NOT NULL,
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	changed INTEGER NOT NULL,
	PRIMARY KEY (provider, name)
);
`), db.SQL(`
CREATE TABLE shaping_reply (
	id INTEGER PRIMARY KEY,
	provider TEXT NOT NULL,
	code INTEGER NOT NULL,
	enhanced TEXT NOT NULL,
	text TEXT NOT NULL,
	times INTEGER NOT NULL,
	action TEXT NOT NULL,
	wait TEXT NOT NULL,
	connections INTEGER NOT NULL,
	rate TEXT NOT NULL,
	changed INTEGER NOT NULL
);
`), db.SQL(`
CREATE TABLE shaping_event (
	id INTEGER PRIMARY KEY,
	provider TEXT NOT NULL,
	kind TEXT NOT NULL,
	about TEXT NOT NULL,
	first INTEGER NOT NULL,
	last INTEGER NOT NULL,
	times INTEGER NOT NULL,
	text TEXT NOT NULL
);
CREATE INDEX shaping_event_last ON shaping_event (last);
`)}}
}
