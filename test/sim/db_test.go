package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

var (
	errDead  = errors.New("the process is dead")
	errDisk  = errors.New("disk I/O error")
	errTwice = errors.New("once more")
)

// store is the engine as one process sees it, with faults.
type store struct {
	db.DB
	w *world
	p *process
}

// how a write ends.
type how uint8

const (
	plain   how = iota
	late        // committed, but the answer takes its time
	twice       // the function runs twice, as it may
	unknown     // committed, but the answer is lost
	nothing     // not committed, and the answer is lost
)

func (s *store) name(ctx context.Context) string {
	name := actor(ctx)
	if name == s.p.name && ctx.Done() == nil {
		name += " collector"
	}
	return name
}

// Read is db.DB's.
func (s *store) Read(ctx context.Context, fn func(*db.Tx) error) error {
	a := s.w.gates.pass(s.p, s.name(ctx)+" read", func() answer { return answer{err: s.w.faults.read()} })
	switch {
	case a.dead:
		return errDead
	case a.err != nil:
		return a.err
	}
	return s.DB.Read(context.WithoutCancel(ctx), fn)
}

// Write is db.DB's.
func (s *store) Write(ctx context.Context, fn func(*db.Tx) error) error {
	name := s.name(ctx)
	a := s.w.gates.pass(s.p, name+" write", func() answer { return s.w.faults.write(ctx) })
	switch {
	case a.dead:
		return errDead
	case a.err != nil && a.value == nil:
		return a.err
	}
	h, _ := a.value.(how)
	if h == nothing {
		return a.err
	}
	hooks, err := s.commit(ctx, h, fn)
	if err != nil {
		return err
	}
	switch h {
	case late, unknown:
		// The rows are there, and nobody here knows it yet.
		if a.after > 0 {
			<-time.After(a.after)
		}
		if s.w.gates.pass(s.p, name+" answer", nil).dead {
			return errDead
		}
	}
	if h == unknown {
		s.w.later(s.p, name, hooks)
		return a.err
	}
	for _, f := range hooks {
		f()
	}
	return nil
}

// commit runs a function and gives the hooks that it left for the time when it is
// known to be durable.
func (s *store) commit(ctx context.Context, h how, fn func(*db.Tx) error) (hooks []func(), err error) {
	var effects *effects
	again := h == twice
	run := func(real *db.Tx) error {
		tx := db.NewTx(through{real})
		effects = s.w.model.begin(tx)
		defer s.w.model.end(tx)
		if err := fn(tx); err != nil {
			return err
		}
		if hooks = tx.Committed(); again {
			return errTwice
		}
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	err = s.DB.Write(ctx, run)
	if again && errors.Is(err, errTwice) {
		again = false
		err = s.DB.Write(ctx, run)
	}
	if err != nil {
		return nil, err
	}
	effects.apply()
	return hooks, nil
}

// through is a connection that is another transaction's.
type through struct{ tx *db.Tx }

func (t through) Exec(sql string, args []any) (int64, error) { return t.tx.Exec(db.SQL(sql), args...) }
func (t through) Query(sql string, args []any) (db.Rows, error) {
	return t.tx.Query(db.SQL(sql), args...)
}
func (t through) Pick(s db.Stmt) string { return s.Common() }
func (t through) MaxArgs() int          { return 2000 }
func (t through) Shared() bool          { return false }

func (t through) List(ids []int64) (string, []any) {
	args := make([]any, len(ids))
	text := ""
	for i, id := range ids {
		if i > 0 {
			text += ", "
		}
		text += "?"
		args[i] = id
	}
	return text, args
}

// faults are what may go wrong now, in thousandths.
type faults struct {
	w    *world
	off  bool
	down bool // the database takes nothing

	readFails, writeFails, writeLate, writeTwice, writeUnknown, body int
}

// draw says how much goes wrong from now on.
func (f *faults) draw() {
	f.off = f.w.chance(250)
	f.down = false
	each := oneOf(f.w, 0, 20, 100)
	some := func() int { return f.w.rng.IntN(each + 1) }
	f.readFails, f.writeFails, f.writeUnknown, f.body = some(), some(), some(), some()
	f.writeLate, f.writeTwice = 2*some(), 2*some()
	f.w.trace("faults: %v %d", !f.off, each)
}

// calm has nothing go wrong until the next draw.
func (f *faults) calm() { f.off, f.down = true, false }

func (f *faults) read() error {
	switch {
	case f.off:
		return nil
	case f.down:
		return db.ErrUnavailable
	case f.w.chance(f.readFails):
		return fmt.Errorf("read: %w", errDisk)
	}
	return nil
}

// delay is how long an engine looks for a lost answer.
func (f *faults) delay() time.Duration { return oneOf(f.w, 0, 0, 5*time.Second, 40*time.Second) }

func (f *faults) write(ctx context.Context) answer {
	switch {
	case f.off:
		return answer{}
	case f.down:
		return answer{err: db.ErrUnavailable}
	case f.w.chance(f.writeFails):
		kinds := []error{errDisk, db.ErrUnavailable, db.ErrOverloaded}
		if !db.HasReserve(ctx) {
			kinds = append(kinds, db.ErrFull)
		}
		return answer{err: fmt.Errorf("write: %w", kinds[f.w.rng.IntN(len(kinds))])}
	case f.w.chance(f.writeUnknown):
		h := unknown
		if f.w.rng.IntN(3) == 0 {
			h = nothing
		}
		return answer{value: h, err: fmt.Errorf("%w: connection reset", db.ErrUnknown), after: f.delay()}
	case f.w.chance(f.writeLate):
		return answer{value: late, after: f.delay()}
	case f.w.chance(f.writeTwice):
		return answer{value: twice}
	}
	return answer{}
}
