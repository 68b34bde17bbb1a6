package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hayauma/hayauma/internal/db"
)

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	d := open(t, Options{Path: path})
	_, err := Open(t.Context(), Options{Path: path})
	if !errors.Is(err, db.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second open: %v", err)
	}
	if err := errors.Join(d.Write(t.Context(), insert(1, 1)), d.Close()); err != nil {
		t.Error(err)
	}
	if n := rowCount(t, open(t, Options{Path: path})); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestDamagedFileIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	good := filepath.Join(t.TempDir(), "good.db")
	d := open(t, Options{Path: good})
	if err := errors.Join(d.Write(t.Context(), insert(1, 10000)), d.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"not a database": bytes.Repeat([]byte("garbage "), 2000),
		"torn header":    append(append([]byte{}, whole[:16]...), bytes.Repeat([]byte{0xff}, 8192)...),
		"torn schema":    append(append([]byte{}, whole[:100]...), bytes.Repeat([]byte{0xff}, len(whole)-100)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "test.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(t.Context(), Options{Path: path})
			if !errors.Is(err, db.ErrCorrupt) || !strings.Contains(err.Error(), "restore") {
				t.Errorf("open: %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

// What a killed process leaves behind is recovered: the files are copied as
// they are while the engine runs.
func TestRecovery(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	d := open(t, Options{Path: filepath.Join(from, "test.db")})
	for id := range int64(20) {
		if err := d.Write(t.Context(), insert(id, 3000)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"test.db", "test.db-wal"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "test.db-wal" {
			b = append(b, bytes.Repeat([]byte{7}, 5000)...) // a torn commit behind
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, Options{Path: filepath.Join(to, "test.db")})
	if n := rowCount(t, again); n != 20 {
		t.Errorf("%d rows, want 20", n)
	}
	fi, err := os.Stat(filepath.Join(to, "test.db"))
	if err != nil || fi.Size() < 60000 {
		t.Errorf("the log was not copied at the start: %v", err)
	}
}

// A log that cannot be copied at the start, as on a full disk, is an error that says so.
func TestLogThatCannotBeRecovered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	d := open(t, Options{Path: path})
	if err := d.Write(t.Context(), insert(1, 1)); err != nil {
		t.Fatal(err)
	}
	o := connOptions{path: path, cacheKiB: 256, statements: 8, busyMillis: 1}
	reader, err := openConn(o)
	if err != nil {
		t.Fatal(err)
	}
	// Who reads the log keeps it from being emptied.
	if err := reader.script("BEGIN; SELECT COUNT(*) FROM sqlite_schema"); err != nil {
		t.Fatal(err)
	}
	if c, err := openWriter(o); err == nil {
		t.Error("the log was recovered", c.close())
	} else if !strings.Contains(err.Error(), "recover the log: ") {
		t.Error(err)
	}
	if err := reader.close(); err != nil {
		t.Error(err)
	}
}

// breakLog puts /dev/null in the place of the open log: writes go nowhere and a
// sync fails.
func breakLog(t *testing.T, path string) {
	t.Helper()
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(null) }()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd")
	}
	broken := 0
	for _, e := range fds {
		var fd int
		name, err := os.Readlink("/proc/self/fd/" + e.Name())
		if _, serr := fmt.Sscan(e.Name(), &fd); err != nil || serr != nil || name != path {
			continue
		}
		if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		broken++
	}
	if broken == 0 {
		t.Fatalf("%s is not open", path)
	}
}

// It runs alone: databases share their memory for pages, and one whose pages others
// took would read the broken log before it came to the sync.
func TestFailedSyncIsFinal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	d := open(t, Options{Path: path})
	if err := d.Write(t.Context(), insert(1, 1)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.Broken():
		t.Error("broken before anything failed")
	default:
	}
	breakLog(t, path+"-wal")
	hook := false
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		tx.OnCommit(func() { hook = true })
		return insert(2, 1)(tx)
	})
	if err == nil || !unsynced(err) || hook {
		t.Errorf("a commit without a sync: hook %t, %v", hook, err)
	}
	if err := d.Health(); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("health: %v", err)
	}
	select {
	case <-d.Broken():
	default:
		t.Error("it does not say that it is broken")
	}
	ran := false
	err = d.Write(t.Context(), func(*db.Tx) error { ran = true; return nil })
	if err == nil || ran {
		t.Errorf("a write after it: ran %t, %v", ran, err)
	}
	_ = d.Close() // it cannot copy the log
	again := open(t, Options{Path: path})
	if err := again.Write(t.Context(), insert(3, 1)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if n := rowCount(t, again); n < 2 {
		t.Errorf("%d rows: an acknowledged one is missing", n)
	}
}

func TestLowSpaceLeavesTheReserve(t *testing.T) {
	t.Parallel()
	var least atomic.Int64
	d := open(t, Options{MinFree: least.Load})
	check := func() { d.space.checked.Store(0); d.space.start = d.space.start.Add(-recheck) }
	least.Store(1 << 62)
	check()
	if err := d.Write(t.Context(), insert(1, 1)); !errors.Is(err, db.ErrFull) {
		t.Errorf("write: %v", err)
	}
	if err := d.Health(); !errors.Is(err, db.ErrFull) {
		t.Errorf("health: %v", err)
	}
	if err := d.Write(db.WithReserve(t.Context()), insert(2, 1)); err != nil {
		t.Errorf("write from the reserve: %v", err)
	}
	if n := rowCount(t, d); n != 1 {
		t.Errorf("%d rows", n)
	}
	least.Store(0)
	check()
	if err := d.Write(t.Context(), insert(1, 1)); err != nil {
		t.Errorf("after space was made: %v", err)
	}
}

// The log stays small while readers come and go, and even a reader that holds
// on to it only slows the writes down.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	d := open(t, Options{Path: path, LogKiB: 400, LogMaxKiB: 1600})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					rowCount(t, d)
				}
			}
		})
	}
	for id := range int64(300) { // 6 MB
		if err := d.Write(t.Context(), insert(id, 20000)); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	fi, err := os.Stat(path + "-wal")
	if err != nil || fi.Size() > 1700<<10 {
		t.Errorf("the log has %d KiB: %v", fi.Size()>>10, err)
	}
	err = d.Read(t.Context(), func(tx *db.Tx) error {
		if err := tx.Row(db.SQL("SELECT 1 FROM row LIMIT 1"), nil, new(int)); err != nil {
			return err
		}
		over := 0 // writes at the limit
		for id := int64(1000); over < 2; id++ {
			if fi, err := os.Stat(path + "-wal"); err == nil && fi.Size() > 1600<<10 {
				over++
			}
			if err := d.Write(t.Context(), insert(id, 20000)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("writes beside a long read: %v", err)
	}
}

func TestStatementCacheIsBounded(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		for i := range 1000 {
			if err := tx.Row(db.SQL(fmt.Sprintf("SELECT %d", i)), nil, new(int)); err != nil {
				return err
			}
		}
		return insert(1, 1<<20)(tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Write(t.Context(), func(*db.Tx) error { // beside no other use of the connection
		k := d.writer.c.cache
		if k.order.Len() != k.limit || len(k.byText) != k.limit {
			t.Errorf("%d statements are kept, the limit is %d", k.order.Len(), k.limit)
		}
		kept := 0
		for _, st := range k.byText {
			kept += st.size
		}
		if kept > arenaKept {
			t.Errorf("%d bytes of arguments are kept", kept)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
