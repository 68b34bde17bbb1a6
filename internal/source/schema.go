package source

import "github.com/hayauma/hayauma/internal/db"

// Schema is the tables of this package.
//
//   - source_pool: a pool; the warm-up schedule of its addresses, empty = the
//     default; the pool that takes what the warm-up does not allow, empty = none.
//   - source_address: an address of ours, in one pool. since: its warm-up began, 0 =
//     it is warmed.
//   - source_rule: which pool a message leaves by. Kind and name say which messages:
//     a tag, the id of an account, a stream, the id of a tenant, or all.
//   - source_sent: how far the warm-up of an address with a provider is: the last day
//     on which something was sent, counted since 1970 in UTC, how much that was, and
//     the step that the day was at, from 0.
func Schema() db.Schema {
	return db.Schema{Package: "source", Steps: []db.Stmt{db.SQL(`
CREATE TABLE source_pool (
	name TEXT PRIMARY KEY,
	overflow TEXT NOT NULL,
	warmup TEXT NOT NULL
);
CREATE TABLE source_address (
	address TEXT PRIMARY KEY,
	pool TEXT NOT NULL,
	ehlo TEXT NOT NULL,
	weight INTEGER NOT NULL,
	since INTEGER NOT NULL
);
CREATE TABLE source_rule (
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	pool TEXT NOT NULL,
	PRIMARY KEY (kind, name)
);
CREATE TABLE source_sent (
	address TEXT NOT NULL,
	provider TEXT NOT NULL,
	day INTEGER NOT NULL,
	sent INTEGER NOT NULL,
	step INTEGER NOT NULL,
	PRIMARY KEY (address, provider)
);
`)}}
}
