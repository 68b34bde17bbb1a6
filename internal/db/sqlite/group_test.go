package sqlite

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

// A group of functions is one commit, and an error among them changes neither
// that nor the neighbours.
func TestGroupIsOneCommit(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]func(*db.Tx) error{
		"all succeed":                 insert(99, 1),
		"one fails without a change":  func(*db.Tx) error { return errFirst },
		"one fails after its change":  func(tx *db.Tx) error { return errors.Join(insert(99, 1)(tx), errFirst) },
		"one conflicts":               insert(1, 1),
		"one fails after a neighbour": func(tx *db.Tx) error { return errors.Join(insert(99, 1)(tx), insert(1, 1)(tx)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var commits, largest atomic.Int64
			d := open(t, Options{GroupTime: time.Minute, Observe: func(_ time.Duration, n int) {
				commits.Add(1)
				largest.Store(max(largest.Load(), int64(n)))
			}})
			commits.Store(0)
			errs := asGroup(t, d, insert(1, 1), insert(2, 1), failing, insert(3, 1))
			if commits.Load() != 1 || largest.Load() != 5 {
				t.Errorf("%d commits, the largest of %d", commits.Load(), largest.Load())
			}
			want := 3
			if name == "all succeed" {
				want = 4
			}
			if n := rowCount(t, d); n != want {
				t.Errorf("%d rows, want %d", n, want)
			}
			for i, err := range errs {
				if (err != nil) != (i == 2 && want == 3) {
					t.Errorf("function %d: %v", i, err)
				}
			}
		})
	}
}

// limitPages lets the database grow by n pages, then SQLITE_FULL.
func limitPages(t *testing.T, d *DB, n int) {
	t.Helper()
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		var pages int
		if err := tx.Row(db.SQL("PRAGMA page_count"), nil, &pages); err != nil {
			return err
		}
		sql := "PRAGMA max_page_count=1000000"
		if n > 0 {
			sql = "PRAGMA max_page_count=" + itoa(pages+n)
		}
		_, err := tx.Exec(db.SQL(sql))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// SQLITE_FULL can cost the whole transaction: the group runs again, what fits
// is kept, the rest gets ErrFull, and all is well once there is space.
func TestLostGroupRunsAgain(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	limitPages(t, d, 20)
	var runs [6]atomic.Int64
	counted := func(i int, size int) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			runs[i].Add(1)
			return insert(int64(i), size)(tx)
		}
	}
	errs := asGroup(t, d, counted(0, 100), counted(1, 8000), counted(2, 400_000), counted(3, 100), counted(4, 400_000), counted(5, 8000))
	for i, err := range errs {
		full := i == 2 || i == 4
		if full != errors.Is(err, db.ErrFull) || !full && err != nil {
			t.Errorf("function %d: %v", i, err)
		}
	}
	if n := rowCount(t, d); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
	again := false
	for i := range runs {
		again = again || runs[i].Load() > 1
	}
	if !again {
		t.Error("no function ran again: the transaction was never lost")
	}
	if err := d.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
	limitPages(t, d, 0)
	if err := d.Write(t.Context(), insert(2, 400_000)); err != nil {
		t.Errorf("after space was made: %v", err)
	}
}

// A function that goes on after its transaction was lost must not commit a part.
func TestLostTransactionIsNotWrittenOn(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	limitPages(t, d, 20)
	hook := false
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		tx.OnCommit(func() { hook = true })
		_ = insert(1, 100)(tx)
		_ = insert(2, 400_000)(tx) // swallowed
		_ = insert(3, 100)(tx)
		return nil
	})
	if !errors.Is(err, db.ErrFull) || hook {
		t.Errorf("hook ran %t: %v", hook, err)
	}
	if n := rowCount(t, d); n != 0 {
		t.Errorf("%d rows of a lost transaction", n)
	}
}

func TestGoexitEndsOnlyItsFunction(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	errs := asGroup(t, d, insert(1, 1), func(tx *db.Tx) error {
		if err := insert(2, 1)(tx); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	}, insert(3, 1), func(tx *db.Tx) error {
		tx.OnCommit(runtime.Goexit)
		return insert(4, 1)(tx)
	}, insert(5, 1))
	for i, err := range errs {
		if (err != nil) != (i == 1) {
			t.Errorf("function %d: %v", i, err)
		}
	}
	if n := rowCount(t, d); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}

func TestOverload(t *testing.T) {
	t.Parallel()
	d := open(t, Options{MaxWaiting: 3})
	errs := asGroup(t, d, insert(1, 1), insert(2, 1), func(tx *db.Tx) error {
		return insert(3, 1)(tx)
	})
	if err := errors.Join(errs...); err != nil {
		t.Errorf("within the limit: %v", err)
	}
	inside, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 4)
	go func() {
		done <- d.Write(t.Context(), func(*db.Tx) error { close(inside); <-release; return nil })
	}()
	<-inside
	for i := range int64(3) {
		go func() { done <- d.Write(t.Context(), insert(10+i, 1)) }()
	}
	until(t, "three wait", func() bool { return d.writer.queued() == 3 })
	if err := d.Write(t.Context(), insert(20, 1)); !errors.Is(err, db.ErrOverloaded) {
		t.Errorf("the fourth to wait: %v", err)
	}
	close(release)
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestGroupLimits(t *testing.T) {
	t.Parallel()
	var largest atomic.Int64
	d := open(t, Options{GroupSize: 2, Observe: func(_ time.Duration, n int) { largest.Store(max(largest.Load(), int64(n))) }})
	errs := asGroup(t, d, insert(1, 1), insert(2, 1), insert(3, 1), insert(4, 1), insert(5, 1))
	if err := errors.Join(errs...); err != nil || largest.Load() > 2 {
		t.Errorf("largest group %d: %v", largest.Load(), err)
	}
}
