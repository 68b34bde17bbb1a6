package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/postgres"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func schema() db.Schema {
	return db.Schema{Package: "fault", Steps: []db.Stmt{
		db.SQL("CREATE TABLE line (id INTEGER PRIMARY KEY, writer INTEGER NOT NULL)"),
	}}
}

func open(t *testing.T, o postgres.Options) *postgres.DB {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), schema()); err != nil {
		t.Fatal(err)
	}
	return d
}

// add inserts a row under an id that no other run of it has, so that a function
// which ran and committed twice is seen.
func add(ids *atomic.Int64, writer int64) func(*db.Tx) error {
	return func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("INSERT INTO line (id, writer) VALUES (?, ?)"), ids.Add(1), writer)
		return err
	}
}

// written counts the rows of each writer.
func written(t *testing.T, d db.DB) map[int64]int {
	t.Helper()
	out := map[int64]int{}
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); {
		err = d.Read(t.Context(), func(tx *db.Tx) error {
			clear(out)
			rows, err := tx.Query(db.SQL("SELECT writer, count(*) FROM line GROUP BY writer"))
			if err != nil {
				return err
			}
			return db.Each(rows, func(r db.Rows) error {
				var w int64
				var n int
				err := r.Scan(&w, &n)
				out[w] = n
				return err
			})
		})
		if err == nil {
			return out
		}
	}
	t.Fatal(err)
	return nil
}

// outcomes are what writers were told.
type outcomes struct {
	mu        sync.Mutex
	committed map[int64]bool
	hooks     map[int64]int
	unsure    map[int64]bool // db.ErrUnknown
	failed    map[int64]bool
	strange   []error // neither of db's errors for a database that is away
}

// run has writers write until stop; each Write is a writer of its own.
func run(d db.DB, writers int, stop <-chan struct{}) (wait func() *outcomes) {
	o := &outcomes{committed: map[int64]bool{}, hooks: map[int64]int{}, unsure: map[int64]bool{}, failed: map[int64]bool{}}
	var ids, names atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				o.write(d, names.Add(1), &ids)
			}
		})
	}
	return func() *outcomes { wg.Wait(); return o }
}

func (o *outcomes) write(d db.DB, name int64, ids *atomic.Int64) {
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		tx.OnCommit(func() {
			o.mu.Lock()
			o.hooks[name]++
			o.mu.Unlock()
		})
		return add(ids, name)(tx)
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil:
		o.committed[name] = true
	case errors.Is(err, db.ErrUnknown):
		o.unsure[name] = true
	default:
		o.failed[name] = true
		if !errors.Is(err, db.ErrUnavailable) {
			o.strange = append(o.strange, err)
		}
	}
}

// compare checks what was told against what is there.
func (o *outcomes) compare(t *testing.T, there map[int64]int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var wrong []string
	for w, n := range there {
		switch {
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("write %d is there %d times", w, n))
		case o.failed[w]:
			wrong = append(wrong, fmt.Sprintf("write %d failed and is there", w))
		}
	}
	for w := range o.committed {
		if there[w] != 1 || o.hooks[w] != 1 {
			wrong = append(wrong, fmt.Sprintf("write %d was committed: it is there %d times, its hook ran %d times", w, there[w], o.hooks[w]))
		}
	}
	for w := range o.unsure {
		if o.hooks[w] != there[w] {
			wrong = append(wrong, fmt.Sprintf("write %d was not sure: it is there %d times, its hook ran %d times", w, there[w], o.hooks[w]))
		}
	}
	for i, err := range o.strange {
		if i < 5 {
			t.Errorf("an error that is not about the database being away: %v", err)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d faults of %d writes, the first: %v", len(wrong), len(o.committed), wrong[:min(len(wrong), 10)])
	}
	if len(o.committed) == 0 {
		t.Error("nothing was committed: this proved nothing")
	}
	t.Logf("%d committed, %d not sure, %d failed", len(o.committed), len(o.unsure), len(o.failed))
}

// TestCutsAroundCommit: connections end before, during and after COMMITs, and
// each write is there once or not at all, as its caller was told.
func TestCutsAroundCommit(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	for name, cut := range map[string]testkit.Cut{"before": testkit.CutBefore, "during": testkit.CutDuring, "after": testkit.CutAfter} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var commits, cuts atomic.Int64
			proxy := testkit.NewPostgresProxy(t, server.Addr, func() testkit.Cut {
				if commits.Add(1)%7 != 0 {
					return testkit.CutNone
				}
				cuts.Add(1)
				return cut
			})
			url := through(testkit.NewSchema(t, server.URL("")), server.Addr, proxy.Addr)
			d := open(t, postgres.Options{URL: url})
			stop := make(chan struct{})
			wait := run(d, 6, stop)
			testkit.Eventually(t, patience, "many cuts", func() bool { return cuts.Load() > 40 })
			close(stop)
			o := wait()
			if len(o.failed)+len(o.unsure) > 0 {
				t.Errorf("%d writes failed and %d were left open, though the server was there all the time", len(o.failed), len(o.unsure))
			}
			o.compare(t, written(t, d))
		})
	}
}

// through puts a proxy into a URL.
func through(url, server, proxy string) string {
	i := len("postgres://postgres@")
	return url[:i] + proxy + url[i+len(server):]
}

// TestUnknownIsClearedUpLater: the answer to a COMMIT is lost and the server is
// away for longer than a caller waits. The caller hears that it is not known; the
// hooks run once it is.
func TestUnknownIsClearedUpLater(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	var proxy *testkit.PostgresProxy
	var armed atomic.Bool
	proxy = testkit.NewPostgresProxy(t, server.Addr, func() testkit.Cut {
		if !armed.CompareAndSwap(true, false) {
			return testkit.CutNone
		}
		proxy.RefuseNew(true)
		return testkit.CutAfter
	})
	d := open(t, postgres.Options{URL: through(testkit.NewSchema(t, server.URL("")), server.Addr, proxy.Addr), Patience: 2 * time.Second})
	var ids atomic.Int64
	ran := make(chan struct{})
	armed.Store(true)
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		tx.OnCommit(func() { close(ran) })
		return add(&ids, 1)(tx)
	})
	if !errors.Is(err, db.ErrUnknown) {
		t.Fatalf("the write ended with %v", err)
	}
	select {
	case <-ran:
		t.Error("the hook ran before anything was known")
	default:
	}
	proxy.RefuseNew(false)
	select {
	case <-ran:
	case <-time.After(patience):
		t.Fatal("the hook never ran")
	}
	if n := written(t, d)[1]; n != 1 {
		t.Errorf("the row is there %d times", n)
	}
}

// TestRestarts: the server is killed and started again under load.
func TestRestarts(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	d := open(t, postgres.Options{URL: testkit.NewSchema(t, server.URL(""))})
	stop := make(chan struct{})
	wait := run(d, 6, stop)
	for range 5 {
		<-time.After(time.Duration(100+rand.IntN(300)) * time.Millisecond)
		server.Kill()
		testkit.Eventually(t, patience, "health to turn red", func() bool { return d.Health() != nil })
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, patience, "a write after the last start", func() bool {
		return d.Write(t.Context(), func(tx *db.Tx) error { return nil }) == nil && d.Health() == nil
	})
	close(stop)
	wait().compare(t, written(t, d))
}

// TestOneProcess: a second process is refused; one that took the database over
// while the first was cut off ends the first one's time.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	proxy := testkit.NewPostgresProxy(t, server.Addr, nil)
	schema := testkit.NewSchema(t, server.URL(""))
	first := open(t, postgres.Options{URL: through(schema, server.Addr, proxy.Addr)})
	if _, err := postgres.Open(t.Context(), postgres.Options{URL: schema}); !errors.Is(err, db.ErrInUse) {
		t.Fatalf("a second process: %v", err)
	}
	select {
	case <-first.Broken():
		t.Error("it took itself for broken while it had the database")
	default:
	}
	proxy.Refuse(true)
	var second *postgres.DB
	testkit.Eventually(t, patience, "the lock to be free", func() bool {
		var err error
		second, err = postgres.Open(t.Context(), postgres.Options{URL: schema})
		return err == nil
	})
	proxy.Refuse(false)
	var ids atomic.Int64
	if err := first.Write(t.Context(), add(&ids, 1)); !errors.Is(err, db.ErrInUse) {
		t.Errorf("the first process wrote: %v", err)
	}
	select {
	case <-first.Broken():
	case <-time.After(patience):
		t.Error("the first does not know")
	}
	if err := first.Health(); !errors.Is(err, db.ErrInUse) {
		t.Errorf("the first's health: %v", err)
	}
	if err := second.Write(t.Context(), add(&ids, 2)); err != nil {
		t.Errorf("the second process: %v", err)
	}
	if there := written(t, second); there[1] != 0 || there[2] != 1 {
		t.Errorf("rows %v", there)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// TestACommandYields: a process that is no server leaves the database to a server
// elsewhere that was there lately, though it has lost its connection. One at the
// same place knows better, and one elsewhere may come once the server has stopped or
// is long gone.
func TestACommandYields(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	for name, c := range map[string]struct {
		place   string
		stop    bool
		age     int // seconds that are added
		refused bool
	}{
		"elsewhere":               {place: "b:/y", refused: true},
		"elsewhere, just in time": {place: "b:/y", age: 50, refused: true},
		"elsewhere, too late":     {place: "b:/y", age: 61},
		"elsewhere, after a stop": {place: "b:/y", stop: true},
		"the same place":          {place: "a:/x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := testkit.NewPostgresProxy(t, server.Addr, nil)
			schema := testkit.NewSchema(t, server.URL(""))
			serves := open(t, postgres.Options{URL: through(schema, server.Addr, proxy.Addr), Place: "a:/x", Serves: true})
			if c.stop {
				if err := serves.Close(); err != nil {
					t.Fatal(err)
				}
			}
			proxy.Refuse(true)
			_, in, _ := strings.Cut(schema, "search_path=")
			in, _, _ = strings.Cut(in, "&")
			psql(t, server, fmt.Sprintf("UPDATE %s.storage_server SET seen = seen - %d", in, c.age))
			var command *postgres.DB
			var err error
			testkit.Eventually(t, patience, "an answer other than that the lock is taken", func() bool {
				command, err = postgres.Open(t.Context(), postgres.Options{URL: schema, Place: c.place})
				return err == nil || strings.Contains(err.Error(), "a:/x")
			})
			if !c.refused {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if err := command.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, db.ErrInUse) {
				t.Fatalf("not refused: %v", err)
			}
			proxy.Refuse(false)
			var ids atomic.Int64
			if err := serves.Write(t.Context(), add(&ids, 1)); err != nil {
				t.Errorf("the server after the command: %v", err)
			}
			testkit.Eventually(t, patience, "the server's health", func() bool { return serves.Health() == nil })
		})
	}
}

// TestLocksInEachOthersWay: two functions that take rows in opposite order both
// commit.
func TestLocksInEachOthersWay(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t, "deadlock_timeout=20ms")
	d := open(t, postgres.Options{URL: testkit.NewSchema(t, server.URL(""))})
	var ids atomic.Int64
	for range 2 {
		if err := d.Write(t.Context(), add(&ids, 0)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 10 {
				err := d.Write(t.Context(), func(tx *db.Tx) error {
					for i := range 2 {
						id := 1 + (i+w)%2
						if _, err := tx.Exec(db.SQL("UPDATE line SET writer = writer + 1 WHERE id = ?"), id); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if there := written(t, d); there[40] != 2 {
		t.Errorf("counters %v, want both at 40", there)
	}
}

// TestNoStandby: a COMMIT that no standby has confirmed is not one, even though
// the server only warns of it.
func TestNoStandby(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	d := open(t, postgres.Options{URL: testkit.NewSchema(t, server.URL("")), Patience: 5 * time.Second})
	psql(t, server, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	psql(t, server, "SELECT pg_reload_conf()")
	var ids atomic.Int64
	ended := make(chan error, 1)
	ran := make(chan struct{})
	go func() {
		ended <- d.Write(context.Background(), func(tx *db.Tx) error {
			tx.OnCommit(func() { close(ran) })
			return add(&ids, 1)(tx)
		})
	}()
	testkit.Eventually(t, patience, "the COMMIT to wait", func() bool {
		return psql(t, server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") != "0"
	})
	psql(t, server, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	if err := <-ended; !errors.Is(err, db.ErrUnknown) {
		t.Errorf("the write ended with %v", err)
	}
	psql(t, server, "ALTER SYSTEM RESET synchronous_standby_names")
	psql(t, server, "SELECT pg_reload_conf()")
	select {
	case <-ran:
	case <-time.After(patience):
		t.Error("the hook never ran")
	}
}

// TestCommitHangs: while no standby confirms, the server answers everything but a
// COMMIT. Health says so before the caller's patience ends, and the caller does not
// wait for longer than that.
func TestCommitHangs(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	const most = 3 * time.Second
	d := open(t, postgres.Options{URL: testkit.NewSchema(t, server.URL("")), Patience: most})
	psql(t, server, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
	psql(t, server, "SELECT pg_reload_conf()")
	testkit.Eventually(t, patience, "the setting", func() bool { return psql(t, server, "SHOW synchronous_standby_names") == "nobody" })
	var ids atomic.Int64
	ran, ended := make(chan struct{}), make(chan error, 1)
	began := time.Now()
	go func() {
		ended <- d.Write(context.Background(), func(tx *db.Tx) error {
			tx.OnCommit(func() { close(ran) })
			return add(&ids, 1)(tx)
		})
	}()
	testkit.Eventually(t, patience, "red", func() bool { return errors.Is(d.Health(), db.ErrUnavailable) })
	select {
	case err := <-ended:
		t.Fatalf("the write had ended when health turned red: %v", err)
	default:
	}
	if err := <-ended; !errors.Is(err, db.ErrUnknown) {
		t.Errorf("the write ended with %v", err)
	}
	if took := time.Since(began); took > 3*most {
		t.Errorf("the caller waited for %v", took)
	}
	if d.Health() == nil {
		t.Error("green while it is still not known what became of the COMMIT")
	}
	psql(t, server, "ALTER SYSTEM RESET synchronous_standby_names")
	psql(t, server, "SELECT pg_reload_conf()")
	select {
	case <-ran:
	case <-time.After(patience):
		t.Fatal("the hook never ran")
	}
	testkit.Eventually(t, patience, "green", func() bool { return d.Health() == nil })
	if n := written(t, d)[1]; n != 1 {
		t.Errorf("the row is there %d times", n)
	}
}

func psql(t *testing.T, server *testkit.Postgres, sql string) string {
	t.Helper()
	out, err := testkit.Psql(t.Context(), server.URL(""), sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUnsafeServersAreRefused(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"fsync=off": "fsync = on", "synchronous_commit=off": "synchronous_commit is off", "full_page_writes=off": "full_page_writes",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			server := testkit.NewPostgres(t, setting)
			f, err := postgres.Inspect(t.Context(), server.URL(""))
			if err != nil || len(f.Fatal) != 1 || !strings.Contains(f.Fatal[0], want) {
				t.Errorf("inspect: %q, %v", f.Fatal, err)
			}
			if _, err := postgres.Open(t.Context(), postgres.Options{URL: server.URL("")}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestInspectWarns(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	f, err := postgres.Inspect(t.Context(), testkit.PostgresURL("", server.Addr, "127.0.0.1:9"))
	if err != nil || len(f.Fatal) != 0 || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "synchronous_standby_names") {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err = postgres.Inspect(t.Context(), server.URL("")); err != nil || len(f.Warnings)+len(f.Fatal) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err = postgres.Inspect(t.Context(), testkit.PostgresURL("", "127.0.0.1:9")); !errors.Is(err, db.ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestAFunctionsOwnErrorIsFinal: what only looks like a lost connection is given
// back at once and not tried again.
func TestAFunctionsOwnErrorIsFinal(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	d := open(t, postgres.Options{URL: server.URL("")})
	runs := 0
	err := d.Write(t.Context(), func(*db.Tx) error {
		runs++
		return context.DeadlineExceeded
	})
	if !errors.Is(err, context.DeadlineExceeded) || runs != 1 {
		t.Errorf("ran %d times: %v", runs, err)
	}
}
