// Package blobtest is the contract that every body store must pass.
package blobtest

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
)

// Options are what a test asks of the store that it opens.
type Options struct {
	Grace time.Duration // how old a body is before a sweep may delete it
}

// Fixture is a store under test.
type Fixture struct {
	Store blob.Store
	DB    db.DB // holds the store's tables and those of Schema
	// Damage changes one bit of a recorded body where it is stored; nil if the
	// test cannot reach it.
	Damage func(t testing.TB, b blob.Body)
}

// Opener returns an empty store that is closed when the test ends.
type Opener func(t testing.TB, o Options) Fixture

// Schema returns the table by which the suite refers to bodies.
func Schema() db.Schema {
	return db.Schema{Package: "blobtest", Steps: []db.Stmt{db.SQL(`
CREATE TABLE holder (
	id INTEGER PRIMARY KEY,
	body INTEGER NOT NULL REFERENCES body (id)
);
CREATE INDEX holder_body ON holder (body);
`)}}
}

// Refs returns the columns that Sweep and Check need in these tests.
func Refs() []blob.Reference { return []blob.Reference{{Table: "holder", Column: "body"}} }

// Run runs every test of the contract.
func Run(t *testing.T, open Opener) {
	tests := []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"a body of any size comes back as it was written", testSizes},
		{"many writers get their own bodies", testConcurrent},
		{"what is written so far can be read before Commit", testWriterReader},
		{"a body can be made of one that is not committed", testRewrite},
		{"an aborted body leaves nothing", testAbort},
		{"a body is not found before it is recorded", testUnrecorded},
		{"a transaction that fails records nothing", testRollback},
		{"Commit ends when its context does", testContext},
		{"Sweep keeps what is referred to", testSweepReferences},
		{"Sweep keeps what is younger than the grace time", testSweepGrace},
		{"Sweep never takes a body that is just being recorded", testSweepConcurrent},
		{"Sweep refuses to run without references", testSweepNoReferences},
		{"Check finds a changed bit", testCheckDamage},
		{"Check finds a reference to no body", testCheckReference},
		{"a dropped body is gone", testDrop},
		{"a body keeps the id that it had elsewhere", testRestore},
		{"reads obey io.ReaderAt", testReaderAt},
		{"a closed store refuses", testClosed},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open)
		})
	}
}
