package dbtest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
)

// Open returns an empty engine that ends with the test.
type Open func(t testing.TB) db.DB

// Run checks that the engines that open gives keep the contract of db.DB.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, db.DB)
	}{
		{"an error undoes only its own function", neighbours},
		{"an error undoes what RETURNING told of", returning},
		{"a panic undoes only its own function", panics},
		{"hooks run in order once durable", hooks},
		{"hooks of a failed function never run", hooksOfFailed},
		{"many writers", manyWriters},
		{"a cancelled wait runs nothing", cancelWaiting},
		{"a running function is not cancelled", cancelRunning},
		{"a read sees one snapshot", snapshot},
		{"a read cannot write", readOnly},
		{"a result left open harms nobody", leftOpen},
		{"a transaction ends with its function", leaked},
		{"closed", closed},
		{"the reserve is a write", reserve},
		{"lists of ids", lists},
		{"inserts of many rows", inserts},
		{"conflicts", conflicts},
		{"no rows", noRows},
		{"foreign keys", foreignKeys},
		{"statements in statements", nested},
		{"values come back as they were", values},
		{"targets that do not fit", targets},
		{"migration goes forward", migrate},
		{"a failed step leaves nothing", migrateFails},
		{"a newer database is refused", migrateNewer},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

// things is a schema that most tests use.
func things(t *testing.T, d db.DB) {
	t.Helper()
	err := d.Migrate(t.Context(), db.Schema{Package: "thing", Steps: []db.Stmt{
		db.SQL(`CREATE TABLE thing (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, name TEXT);
			CREATE UNIQUE INDEX thing_name ON thing (name);
			CREATE TABLE part (thing INTEGER NOT NULL REFERENCES thing (id), number INTEGER NOT NULL,
				PRIMARY KEY (thing, number)) WITHOUT ROWID`),
	}})
	if err != nil {
		t.Fatalf("migrate: %v", err)
	}
}

const (
	addThing   = "INSERT INTO thing (id, owner, name) VALUES (?, ?, ?)"
	countThing = "SELECT count(*) FROM thing"
)

var errOwn = errors.New("the function's own error")

func add(id int64) func(*db.Tx) error {
	return func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(addThing), id, 1, nil)
		return err
	}
}

func count(t *testing.T, d db.DB) (n int) {
	t.Helper()
	err := d.Read(t.Context(), func(tx *db.Tx) error { return tx.Row(db.SQL(countThing), nil, &n) })
	if err != nil {
		t.Fatalf("count: %v", err)
	}
	return n
}

// together calls Write from n goroutines at once, behind one that waits until
// all of them are under way.
func together(t *testing.T, d db.DB, n int, fn func(i int) func(*db.Tx) error) []error {
	t.Helper()
	var ready, done sync.WaitGroup
	errs := make([]error, n)
	ready.Add(n)
	done.Go(func() {
		err := d.Write(context.WithoutCancel(t.Context()), func(*db.Tx) error {
			ready.Wait()
			return nil
		})
		if err != nil {
			t.Errorf("the first write: %v", err)
		}
	})
	for i := range n {
		done.Go(func() {
			ready.Done()
			errs[i] = d.Write(context.WithoutCancel(t.Context()), fn(i))
		})
	}
	done.Wait()
	return errs
}

func neighbours(t *testing.T, d db.DB) {
	things(t, d)
	errs := together(t, d, 40, func(i int) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			if _, err := tx.Exec(db.SQL(addThing), i, 1, nil); err != nil {
				return err
			}
			if i%4 == 0 {
				return errOwn
			}
			return nil
		}
	})
	for i, err := range errs {
		if want := i%4 == 0; want != (err == errOwn) || !want && err != nil { //nolint:errorlint // returned as it is
			t.Errorf("function %d: %v", i, err)
		}
	}
	if n := count(t, d); n != 30 {
		t.Errorf("%d rows, want 30", n)
	}
}

func returning(t *testing.T, d db.DB) {
	things(t, d)
	if err := d.Write(t.Context(), add(1)); err != nil {
		t.Fatal(err)
	}
	change := db.SQL("UPDATE thing SET owner = owner + 1 WHERE id = 1 RETURNING owner")
	for _, neighbours := range []int{0, 5} {
		errs := together(t, d, 1+neighbours, func(i int) func(*db.Tx) error {
			return func(tx *db.Tx) error {
				if i > 0 {
					return add(int64(100*neighbours + i))(tx)
				}
				var owner int
				if err := tx.Row(change, nil, &owner); err != nil {
					return err
				}
				return errOwn
			}
		})
		if errs[0] != errOwn { //nolint:errorlint // returned as it is
			t.Errorf("the function ended with %v", errs[0])
		}
	}
	var owner int
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT owner FROM thing WHERE id = 1"), nil, &owner)
	})
	if err != nil || owner != 1 {
		t.Errorf("owner is %d, %v: what a failed function changed stayed", owner, err)
	}
}

func panics(t *testing.T, d db.DB) {
	things(t, d)
	errs := together(t, d, 10, func(i int) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			if _, err := tx.Exec(db.SQL(addThing), i, 1, nil); err != nil {
				return err
			}
			if i == 5 {
				_ = make([]byte, 5)[i] // panics
			}
			return nil
		}
	})
	for i, err := range errs {
		if (err != nil) != (i == 5) {
			t.Errorf("function %d: %v", i, err)
		}
	}
	if n := count(t, d); n != 9 {
		t.Errorf("%d rows, want 9", n)
	}
}

func hooks(t *testing.T, d db.DB) {
	things(t, d)
	var order []int
	seen := make(chan int, 1)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		for i := range 5 {
			tx.OnCommit(func() { order = append(order, i) })
		}
		tx.OnCommit(func() {
			// From another goroutine, as those do whom a hook wakes.
			go func() { seen <- count(t, d) }()
		})
		_, err := tx.Exec(db.SQL(addThing), 1, 1, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if len(order) != 5 || order[i] != i {
			t.Fatalf("order %v", order)
		}
	}
	if n := <-seen; n != 1 {
		t.Errorf("after the commit %d rows are seen", n)
	}
}

func hooksOfFailed(t *testing.T, d db.DB) {
	things(t, d)
	var mu sync.Mutex
	ran := map[int]int{}
	together(t, d, 12, func(i int) func(*db.Tx) error {
		return func(tx *db.Tx) error {
			tx.OnCommit(func() {
				mu.Lock()
				ran[i]++
				mu.Unlock()
			})
			if _, err := tx.Exec(db.SQL(addThing), i, 1, nil); err != nil {
				return err
			}
			if i%3 == 0 {
				return errOwn
			}
			return nil
		}
	})
	for i := range 12 {
		want := 1
		if i%3 == 0 {
			want = 0
		}
		if ran[i] != want {
			t.Errorf("hook of function %d ran %d times, want %d", i, ran[i], want)
		}
	}
}

func manyWriters(t *testing.T, d db.DB) {
	things(t, d)
	if err := d.Write(t.Context(), add(1)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := range 20 {
				err := d.Write(t.Context(), func(tx *db.Tx) error {
					if _, err := tx.Exec(db.SQL("UPDATE thing SET owner = owner + 1 WHERE id = 1")); err != nil {
						return err
					}
					_, err := tx.Exec(db.SQL("INSERT INTO part (thing, number) VALUES (1, ?)"), w*20+i)
					return err
				})
				if err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	var owner, parts int
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT owner, (SELECT count(*) FROM part) FROM thing WHERE id = 1"), nil, &owner, &parts)
	})
	if err != nil || owner != 1001 || parts != 1000 {
		t.Errorf("owner %d, parts %d, %v", owner, parts, err)
	}
}

func cancelWaiting(t *testing.T, d db.DB) {
	things(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	inside, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := d.Write(t.Context(), func(*db.Tx) error {
			close(inside)
			<-release
			return nil
		})
		if err != nil {
			t.Errorf("the write in front: %v", err)
		}
	})
	<-inside
	wg.Go(func() {
		ran := false
		err := d.Write(ctx, func(*db.Tx) error {
			ran = true
			return nil
		})
		if ran != (err == nil) || err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("ran %t: %v", ran, err)
		}
	})
	cancel()
	if err := d.Write(ctx, add(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	close(release)
	wg.Wait()
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func cancelRunning(t *testing.T, d db.DB) {
	things(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	err := d.Write(ctx, func(tx *db.Tx) error {
		cancel()
		return add(1)(tx)
	})
	if err != nil {
		t.Errorf("a function that runs was cancelled: %v", err)
	}
	if n := count(t, d); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func snapshot(t *testing.T, d db.DB) {
	things(t, d)
	var before, after int
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		if err := tx.Row(db.SQL(countThing), nil, &before); err != nil {
			return err
		}
		if err := d.Write(t.Context(), add(1)); err != nil {
			return err
		}
		return tx.Row(db.SQL(countThing), nil, &after)
	})
	if err != nil || before != 0 || after != 0 {
		t.Errorf("before %d, after %d: %v", before, after, err)
	}
	if n := count(t, d); n != 1 {
		t.Errorf("the next read sees %d rows, want 1", n)
	}
}

func readOnly(t *testing.T, d db.DB) {
	things(t, d)
	if err := d.Read(t.Context(), add(1)); err == nil {
		t.Error("a read wrote")
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func leftOpen(t *testing.T, d db.DB) {
	things(t, d)
	open := func(tx *db.Tx) error {
		rows, err := tx.Query(db.SQL("SELECT id FROM thing")) // never closed: the point of the test
		if err != nil {
			return err
		}
		rows.Next()
		return nil
	}
	for id := range int64(3) {
		err := d.Write(t.Context(), func(tx *db.Tx) error {
			return errors.Join(add(2*id)(tx), add(2*id+1)(tx), open(tx), open(tx))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Read(t.Context(), open); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, d); n != 6 {
		t.Errorf("%d rows, want 6: a read stayed in an old snapshot or a write was lost", n)
	}
}

func leaked(t *testing.T, d db.DB) {
	things(t, d)
	var write, read *db.Tx
	keep := func(to **db.Tx) func(*db.Tx) error {
		return func(tx *db.Tx) error { *to = tx; return nil }
	}
	if err := errors.Join(d.Write(t.Context(), keep(&write)), d.Read(t.Context(), keep(&read))); err != nil {
		t.Fatal(err)
	}
	if err := add(1)(write); err == nil {
		t.Error("a transaction that has ended wrote")
	}
	if err := read.Row(db.SQL(countThing), nil, new(int)); err == nil {
		t.Error("a transaction that has ended read")
	}
}

func closed(t *testing.T, d db.DB) {
	things(t, d)
	if err := d.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := d.Write(t.Context(), add(1)); !errors.Is(err, db.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := d.Read(t.Context(), add(1)); !errors.Is(err, db.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if err := d.Health(); !errors.Is(err, db.ErrClosed) {
		t.Errorf("health: %v", err)
	}
}

func reserve(t *testing.T, d db.DB) {
	things(t, d)
	if err := d.Write(db.WithReserve(t.Context()), add(1)); err != nil {
		t.Error(err)
	}
}
