package move

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Stage is how far a copy into a database has come.
type Stage string

// Stages, in their order. None is a database into which nothing was copied.
const (
	None      Stage = ""
	Copying   Stage = "copying"
	Verifying Stage = "verifying"
	Complete  Stage = "complete"
)

// Errors of a copy; those of the engines and body stores come as they are.
var (
	ErrIncomplete  = errors.New("a copy into this storage has not finished: run 'hayauma storage copy' again, or empty it")
	ErrNotEmpty    = errors.New("the target already holds an installation")
	ErrOtherSource = errors.New("the target holds a part of a copy from another source: go on with that one, or empty the target")
	ErrDifferent   = errors.New("source and target differ")
	ErrDamaged     = errors.New("bodies of the source are missing or damaged")
)

// Schema returns the tables by which a target knows how far it has come. Run
// makes them.
//
//   - storage_move: a row "whole" for the copy, and one for each step that was
//     begun: behind which key it goes on, what it has done, and the state of its
//     digest.
//   - storage_move_damaged: bodies that could not be read from the source.
func Schema() db.Schema {
	return db.Schema{Package: "move", Steps: []db.Stmt{db.SQL(`
CREATE TABLE storage_move (
	name      TEXT NOT NULL PRIMARY KEY,
	state     TEXT NOT NULL,
	source    TEXT NOT NULL,
	after_key BLOB,
	done      INTEGER NOT NULL,
	octets    INTEGER NOT NULL,
	digest    BLOB,
	changed   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE storage_move_damaged (
	body  INTEGER PRIMARY KEY,
	fault TEXT NOT NULL
);
`)}}
}

// whole is the name of the row that tells of the copy as such.
const whole = "whole"

var (
	sqlHasTable = db.Stmt{
		SQL: "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?",
		Postgres: `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname = ?`,
	}
	sqlStep     = db.SQL("SELECT state, source, after_key, done, octets, digest FROM storage_move WHERE name = ?")
	sqlSaveStep = db.SQL(`INSERT INTO storage_move (name, state, source, after_key, done, octets, digest, changed)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET state = excluded.state, after_key = excluded.after_key,
	done = excluded.done, octets = excluded.octets, digest = excluded.digest, changed = excluded.changed`)
	sqlDropSteps   = db.SQL("DELETE FROM storage_move WHERE name <> 'whole'")
	sqlDropDamaged = db.SQL("DELETE FROM storage_move_damaged")
	// The engines note when they made which tables: nothing else tells two
	// installations apart from their first day on. An upgrade adds to the end.
	sqlFirstSteps = db.SQL("SELECT package, number, applied FROM schema_step ORDER BY applied, package, number LIMIT 3")
)

// State tells how far a copy into a database has come. A server must not start
// on one that is not complete; see Usable. The tables need not be there.
func State(ctx context.Context, d db.DB) (Stage, error) {
	s, err := loadWhole(ctx, d)
	if err != nil {
		return None, fmt.Errorf("look for an unfinished copy: %w", err)
	}
	return Stage(s.state), nil
}

// Usable returns ErrIncomplete for a database whose copy has not finished.
func Usable(ctx context.Context, d db.DB) error {
	stage, err := State(ctx, d)
	if err == nil && (stage == Copying || stage == Verifying) {
		err = ErrIncomplete
	}
	return err
}

// step is a part of the work: what to copy or to compare, and how far it came.
type step struct {
	name   string
	state  string // a Stage for the whole, else "" while it goes on, then ended
	source string
	after  []byte // the key behind which it goes on, nil = from the start
	done   int64  // rows or bodies
	octets int64
	digest []byte // state of the hash, nil in a step that copies
}

const ended = "ended"

// loadWhole reads the row of the copy, without a state if there is none.
func loadWhole(ctx context.Context, d db.DB) (step, error) {
	s := step{name: whole}
	err := d.Read(ctx, func(tx *db.Tx) error {
		var there int
		if err := tx.Row(sqlHasTable, []any{"storage_move"}, &there); err != nil || there == 0 {
			return err
		}
		return s.load(tx)
	})
	return s, err
}

// load reads a step, which stays as it is if it was never saved.
func (s *step) load(tx *db.Tx) error {
	err := tx.Row(sqlStep, []any{s.name}, &s.state, &s.source, &s.after, &s.done, &s.octets, &s.digest)
	if errors.Is(err, db.ErrNoRows) {
		return nil
	}
	return err
}

func (s *step) save(tx *db.Tx) error {
	_, err := tx.Exec(sqlSaveStep, s.name, s.state, s.source, s.after, s.done, s.octets, s.digest, mail.Micros(time.Now()))
	return err
}

// sourceName returns a name that no other installation has.
func sourceName(ctx context.Context, d db.DB) (string, error) {
	var name string
	err := d.Read(ctx, func(tx *db.Tx) error {
		h := sha256.New()
		rows, err := tx.Query(sqlFirstSteps)
		if err != nil {
			return err
		}
		err = db.Each(rows, func(r db.Rows) error {
			var pkg string
			var number, applied int64
			err := r.Scan(&pkg, &number, &applied)
			_, _ = h.Write(appendValues(nil, pkg, number, applied)) // a hash never fails
			return err
		})
		name = fmt.Sprintf("%x", h.Sum(nil)[:16])
		return err
	})
	return name, err
}
