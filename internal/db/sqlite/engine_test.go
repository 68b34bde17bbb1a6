package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
)

const rowTable = "CREATE TABLE row (id INTEGER PRIMARY KEY, data BLOB)"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open gives an engine with the table row; o needs no Path.
func open(t *testing.T, o Options) *DB {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "test.db")
	}
	if o.MinFree == nil {
		o.MinFree = func() int64 { return 0 }
	}
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), db.Schema{Package: "row", Steps: []db.Stmt{db.SQL(rowTable)}}); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	return d
}

func insert(id int64, size int) func(*db.Tx) error {
	return func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO row (id, data) VALUES (?, ?)"), id, make([]byte, size))
		return err
	}
}

func rowCount(t *testing.T, d *DB) (n int) {
	t.Helper()
	err := d.Read(context.WithoutCancel(t.Context()), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT count(*) FROM row"), nil, &n)
	})
	if err != nil {
		t.Fatalf("count: %v", err)
	}
	return n
}

// until polls for what another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		runtime.Gosched()
	}
}

func (w *writer) queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)
}

// asGroup runs functions as one group and returns their errors in order.
func asGroup(t *testing.T, d *DB, fns ...func(*db.Tx) error) []error {
	t.Helper()
	inside, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var once sync.Once
	wg.Go(func() {
		err := d.Write(context.WithoutCancel(t.Context()), func(*db.Tx) error {
			once.Do(func() { close(inside) })
			<-release
			return errFirst // wrote nothing, so it joins no transaction
		})
		if !errors.Is(err, errFirst) {
			t.Errorf("the function in front: %v", err)
		}
	})
	<-inside
	errs := make([]error, len(fns))
	for i, fn := range fns {
		wg.Go(func() { errs[i] = d.Write(context.WithoutCancel(t.Context()), fn) })
		until(t, "the call is queued", func() bool { return d.writer.queued() == i+1 })
	}
	close(release)
	wg.Wait()
	return errs
}

var errFirst = errors.New("first")
