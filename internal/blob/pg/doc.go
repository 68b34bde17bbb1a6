// Package pg keeps bodies in the database itself: for installations that want
// PostgreSQL's replication and backup to hold everything.
//
// # Tables
//
//	body       id, size, state, created
//	body_part  body, number, sum, bytes: up to partLen octets each
//
// # Order of work
//
//	commit          up to blob.InMemory: nothing is written yet, the octets wait in memory
//	record          body and parts, in the caller's transaction: one commit makes mail and rows durable
//	write (large)   the row in state writing, then each part, in commits of their own
//	commit (large)  the last part
//	record (large)  writing becomes kept, in the caller's transaction
//	sweep           rows without references, parts with them
//
// A large body that was never recorded stays in state writing: the sweep of
// this process forgets those of its own that waited too long, and the start of
// a process those of the ones before it.
//
// # Checksums
//
// SHA-256 over body id, part number and octets, cut to 16 octets: it finds damage
// and confusion below the database.
package pg
