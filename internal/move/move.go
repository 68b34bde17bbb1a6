package move

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Side is a pair of engines.
type Side struct {
	DB    db.DB
	Blobs blob.Store
}

// Options are what a copy needs. Both sides are migrated and neither is served.
type Options struct {
	From, To Side
	// Schemas are those of the domain packages, in the order in which they
	// refer to each other: the tables to copy.
	Schemas []db.Schema
	// References are all columns that name a body.
	References []blob.Reference

	// SkipDamaged copies the rows that refer to bodies which the source cannot
	// give any more, and reports those bodies, instead of refusing to finish.
	SkipDamaged bool
	// Parallel is how many bodies are under way at once, 0 = 32. However many
	// they are, they take at most about 64 MiB of memory: half while they are
	// read and written, the rest in stores that keep them until they are recorded.
	Parallel int

	Logger   *slog.Logger   // nil = silent
	Progress func(Progress) // nil = nobody watches; called after each slice
}

// Progress is what a copy is doing.
type Progress struct {
	Step, Steps int    // "3 of 24"
	Name        string // "copy table mailbox", "verify bodies"
	Done        int64  // rows or bodies of this step, in earlier runs as well
	Octets      int64  // of bodies
}

// Report is what a copy did, all of its runs together.
type Report struct {
	Tables []Table
	Bodies Bodies
	// Damaged are bodies that the source could not give, at most MaxDamaged of
	// them; DamagedBodies counts all.
	Damaged       []Damage
	DamagedBodies int64

	Resumed bool // an earlier run had begun
	// Copied and Verified are how long the two parts took in this run.
	Copied, Verified time.Duration
}

// Table is what is equal on both sides of a table.
type Table struct {
	Name   string
	Rows   int64
	SHA256 string // over all rows in the order of the key
}

// Bodies is what is equal on both sides of the bodies.
type Bodies struct {
	Count, Octets int64
	SHA256        string // over id, size and SHA-256 of each
}

// Damage is a body that the source could not give.
type Damage struct {
	Body  mail.ID
	Fault string
}

// MaxDamaged is how many damaged bodies a report lists, and after how many a copy
// that may not skip them looks no further.
const MaxDamaged = 100

// Run copies an installation and compares both sides. A run that ended early, by
// an error or with the process, is continued by the next one. ErrNotEmpty,
// ErrOtherSource, ErrDifferent and ErrDamaged say what a person has to decide;
// the report then holds what was found so far.
func Run(ctx context.Context, o Options) (Report, error) {
	m, err := newMover(o)
	if err != nil {
		return Report{}, err
	}
	for _, part := range []func(context.Context) error{m.begin, m.copy, m.verify, m.finish} {
		if err := part(ctx); err != nil {
			return m.report, err
		}
	}
	return m.report, nil
}

// mover is one run.
type mover struct {
	o       Options
	log     *slog.Logger
	memory  *budget
	tables  []*table
	seeded  map[string]bool
	whole   step
	damaged int64 // rows of storage_move_damaged
	at      int   // number of the step that runs
	report  Report
}

func newMover(o Options) (*mover, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Parallel <= 0 {
		o.Parallel = 32
	}
	if len(o.Schemas) == 0 || len(o.References) == 0 {
		return nil, errors.New("a copy needs the schemas and the columns that refer to bodies")
	}
	for _, r := range o.References {
		if err := r.Check(); err != nil {
			return nil, err
		}
	}
	return &mover{o: o, log: o.Logger, memory: newBudget(bodyMemory)}, nil
}

// begin finds the tables and makes sure that the target is empty, or holds a part
// of this copy.
func (m *mover) begin(ctx context.Context) error {
	if err := Usable(ctx, m.o.From.DB); err != nil {
		return fmt.Errorf("%s: %w", inSource, err)
	}
	found := declaredTables(m.o.Schemas)
	m.seeded = found.seeded
	for _, name := range found.tables {
		t, err := m.findTable(ctx, name)
		if err != nil {
			return err
		}
		m.tables = append(m.tables, t)
	}
	source, err := sourceName(ctx, m.o.From.DB)
	if err != nil {
		return fmt.Errorf("name of %s: %w", inSource, err)
	}
	if m.whole, err = loadWhole(ctx, m.o.To.DB); err != nil {
		return fmt.Errorf("progress in %s: %w", inTarget, err)
	}
	switch {
	case m.whole.state == string(None):
		if err := m.isEmpty(ctx); err != nil {
			return err
		}
	case m.whole.state == string(Complete):
		return fmt.Errorf("%w: a copy into it is complete", ErrNotEmpty)
	case m.whole.source != source:
		return ErrOtherSource
	default:
		m.report.Resumed = true
		m.log.Info("the copy of the storage goes on", "stage", m.whole.state)
		return nil
	}
	m.log.Info("the copy of the storage begins", "tables", len(m.tables))
	m.whole.source = source
	return m.start(ctx)
}

// isEmpty refuses a target with rows other than those of migrations.
func (m *mover) isEmpty(ctx context.Context) error {
	return m.o.To.DB.Read(ctx, func(tx *db.Tx) error {
		for _, t := range m.tables {
			if m.seeded[t.name] {
				continue
			}
			var one int
			err := tx.Row(t.any, nil, &one)
			if err == nil {
				return fmt.Errorf("%w: table %s has rows", ErrNotEmpty, t.name)
			}
			if !errors.Is(err, db.ErrNoRows) {
				return err
			}
		}
		return nil
	})
}

// start makes an empty target one that is being copied into. What migrations
// put there goes: it comes with the source's rows.
func (m *mover) start(ctx context.Context) error {
	if err := m.o.To.DB.Migrate(ctx, Schema()); err != nil {
		return err
	}
	m.whole.state = string(Copying)
	return m.write(ctx, func(tx *db.Tx) error {
		for i := len(m.tables) - 1; i >= 0; i-- {
			if name := m.tables[i].name; m.seeded[name] {
				if _, err := tx.Exec(db.SQL("DELETE FROM " + quoted(name))); err != nil {
					return fmt.Errorf("table %s of %s: %w", name, inTarget, err)
				}
			}
		}
		return m.whole.save(tx)
	})
}

func (m *mover) write(ctx context.Context, fn func(*db.Tx) error) error {
	return m.o.To.DB.Write(ctx, fn)
}

// copy does what is left of the copying.
func (m *mover) copy(ctx context.Context) error {
	if m.whole.state != string(Copying) {
		m.at = 1 + len(m.tables)
		return nil
	}
	began := time.Now()
	defer func() { m.report.Copied = time.Since(began) }()
	if err := m.copyBodies(ctx); err != nil {
		return err
	}
	for _, t := range m.tables {
		if err := m.copyTable(ctx, t); err != nil {
			return err
		}
	}
	m.whole.state = string(Verifying)
	return m.write(ctx, m.whole.save)
}

// verify does what is left of the comparison.
func (m *mover) verify(ctx context.Context) error {
	began := time.Now()
	defer func() { m.report.Verified = time.Since(began) }()
	if err := m.loadDamaged(ctx); err != nil {
		return err
	}
	if err := m.judgeDamage(); err != nil {
		return err
	}
	if err := m.verifyBodies(ctx); err != nil {
		return err
	}
	for _, t := range m.tables {
		if err := m.verifyTable(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// finish declares the target complete.
func (m *mover) finish(ctx context.Context) error {
	m.whole.state = string(Complete)
	m.whole.done, m.whole.octets = m.report.Bodies.Count, m.report.Bodies.Octets
	err := m.write(ctx, func(tx *db.Tx) error {
		for _, s := range []db.Stmt{sqlDropSteps, sqlDropDamaged} {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		return m.whole.save(tx)
	})
	if err == nil {
		m.log.Info("the copy of the storage is complete", "bodies", m.report.Bodies.Count, "octets", m.report.Bodies.Octets)
	}
	return err
}

// step begins or continues a step.
func (m *mover) step(ctx context.Context, name string) (*step, error) {
	m.at++
	s := &step{name: name}
	if err := m.o.To.DB.Read(ctx, s.load); err != nil {
		return nil, fmt.Errorf("progress in %s: %w", inTarget, err)
	}
	return s, nil
}

// tell reports how far a step has come.
func (m *mover) tell(s *step) {
	m.o.Progress(Progress{Step: m.at, Steps: 2 * (1 + len(m.tables)), Name: s.name, Done: s.done, Octets: s.octets})
	if s.state == ended {
		m.log.Info("a step of the copy is done", "step", s.name, "count", s.done)
	}
}
