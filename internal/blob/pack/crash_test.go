package pack

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// rowsOf copies the store's rows to another database, as a crash leaves them.
func rowsOf(t *testing.T, from db.DB) db.DB {
	t.Helper()
	to := newDB(t)
	for _, table := range []struct {
		name    string
		columns []string
	}{
		// Bodies first: their packs then have rows already.
		{"body", []string{"id", "pack", "start", "length", "size", "codec", "created"}},
		{"pack", []string{"id", "state", "mark", "size", "dead", "dead_since", "created"}},
	} {
		var rows [][]any
		err := from.Read(t.Context(), func(tx *db.Tx) error {
			rows = nil
			r, err := tx.Query(db.SQL("SELECT " + strings.Join(table.columns, ", ") + " FROM " + table.name))
			if err != nil {
				return err
			}
			return db.Each(r, func(r db.Rows) error {
				row, dest := make([]int64, len(table.columns)), make([]any, len(table.columns))
				for i := range row {
					dest[i] = &row[i]
				}
				if err := r.Scan(dest...); err != nil {
					return err
				}
				values := make([]any, len(row))
				for i, v := range row {
					values[i] = v
				}
				rows = append(rows, values)
				return nil
			})
		})
		if err == nil {
			err = to.Write(t.Context(), func(tx *db.Tx) error {
				return tx.Insert(db.Insert{Into: table.name, Columns: table.columns}, rows...)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// crashed is a store cut off at some moment: the folder and rows as they were.
type crashed struct {
	opt      Options
	recorded []blobtestBody
	lost     []blobtestBody // durable, but their rows never came
	end      int64          // of the last recorded entry in pack 1
}

func crash(t *testing.T) crashed {
	t.Helper()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	opt.PackSize = 1 << 20
	s := mustOpen(t, opt)
	f := blobtest.Fixture{Store: s, DB: opt.DB}
	var c crashed
	for i := range 12 {
		p := blobtest.Bytes(i*i*100, uint64(i))
		b := blobtestBody{blobtest.Commit(t, s, p), p}
		if i < 9 {
			blobtest.Record(t, f, b.Body)
			c.recorded = append(c.recorded, b)
			pl, err := parsePlace(b.Place, b.Size)
			if err != nil {
				t.Fatal(err)
			}
			c.end = pl.start + pl.length
		} else {
			c.lost = append(c.lost, b)
		}
	}
	large := blobtestBody{blobtest.Commit(t, s, blobtest.Bytes(2<<20, 99)), blobtest.Bytes(2<<20, 99)}
	blobtest.Record(t, f, large.Body)
	c.recorded = append(c.recorded, large)
	p := blobtest.Bytes(3<<20, 98)
	c.lost = append(c.lost, blobtestBody{blobtest.Commit(t, s, p), p})
	c.opt = opt
	c.opt.Dir, c.opt.DB = copyDir(t, opt.Dir), rowsOf(t, opt.DB)
	// The keeper moves the mark when it gets to it, so how much of the pack
	// recovery reads would be chance: all of it.
	err := c.opt.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE pack SET mark = ?"), packHeadLen)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// again returns a copy, so that each case starts from the same moment.
func (c crashed) again(t *testing.T) crashed {
	t.Helper()
	c.opt.Dir, c.opt.DB = copyDir(t, c.opt.Dir), rowsOf(t, c.opt.DB)
	return c
}

func (c crashed) want(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	opt := c.opt
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := mustOpen(t, opt)
	for _, b := range c.recorded {
		blobtest.Want(t, s, b.ID, b.p)
	}
	for _, b := range c.lost {
		blobtest.WantMissing(t, s, b.ID)
	}
	if faults := blobtest.Faults(t, s); len(faults) > 0 {
		t.Errorf("check: %q", faults)
	}
	if n := strings.Count(log.String(), "body store recovered"); n != 1 {
		t.Errorf("log has %d lines about the recovery:\n%s", n, &log)
	}
	// What comes now goes to a new pack and survives the next start.
	b, err := tryCommit(t, s, 1234)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.Place, "2/") {
		t.Errorf("new body at %s, want pack 2", b.Place)
	}
	err = c.opt.DB.Write(t.Context(), func(tx *db.Tx) error { return s.Record(tx, b) })
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, c.opt)
	for _, b := range slices.Concat(c.recorded, []blobtestBody{{b, blobtest.Bytes(1234, 1234)}}) {
		blobtest.Want(t, s, b.ID, b.p)
	}
}

func TestRecoveryAfterACutAtAnyPlace(t *testing.T) {
	t.Parallel()
	base := crash(t)
	base.again(t).want(t)
	pack := func(c crashed) string { return filepath.Join(c.opt.Dir, packName(1)) }
	st, err := os.Stat(pack(base))
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int64{base.end, base.end + 1, base.end + 7, base.end + 8, base.end + entryLen - 1,
		base.end + entryLen, base.end + entryLen + 50, base.end + 9000, base.end + 20_000, st.Size() - 1} {
		t.Run(fmt.Sprintf("file ends %d behind the rows", cut-base.end), func(t *testing.T) {
			t.Parallel()
			c := base.again(t)
			if err := os.Truncate(pack(c), cut); err != nil {
				t.Fatal(err)
			}
			c.want(t)
		})
	}
	for _, at := range []int64{8, 20, 60, entryLen, entryLen + 5000, 20_000} {
		t.Run(fmt.Sprintf("a bit flipped %d behind the rows", at), func(t *testing.T) {
			t.Parallel()
			c := base.again(t)
			flip(t, pack(c), base.end+at)
			c.want(t)
		})
		t.Run(fmt.Sprintf("zeros from %d behind the rows", at), func(t *testing.T) {
			t.Parallel()
			c := base.again(t)
			for i := range int64(512) {
				patch(t, pack(c), base.end+at+i, func(byte) byte { return 0 })
			}
			c.want(t)
		})
	}
}

func TestRecoveryRefusesAndChangesNothing(t *testing.T) {
	t.Parallel()
	base := crash(t)
	largeID := base.recorded[len(base.recorded)-1].ID
	for name, spoil := range map[string]func(t *testing.T, c *crashed) error{
		"rows point beyond the file": func(_ *testing.T, c *crashed) error {
			return os.Truncate(filepath.Join(c.opt.Dir, packName(1)), c.end-1)
		},
		"a pack is missing": func(_ *testing.T, c *crashed) error {
			return os.Remove(filepath.Join(c.opt.Dir, packName(1)))
		},
		"a large file is missing": func(_ *testing.T, c *crashed) error {
			return os.Remove(filepath.Join(c.opt.Dir, largeName(largeID)))
		},
		"a recorded body in the tail is damaged": func(t *testing.T, c *crashed) error {
			flip(t, filepath.Join(c.opt.Dir, packName(1)), c.end-1)
			return nil
		},
		"the pack's header is damaged": func(t *testing.T, c *crashed) error {
			flip(t, filepath.Join(c.opt.Dir, packName(1)), 20)
			return nil
		},
		"the database is empty": func(t *testing.T, c *crashed) error {
			c.opt.DB = newDB(t)
			return nil
		},
		"the secret is missing": func(_ *testing.T, c *crashed) error {
			return os.Remove(filepath.Join(c.opt.Dir, "secret"))
		},
		"the secret is another one": func(t *testing.T, c *crashed) error {
			flip(t, filepath.Join(c.opt.Dir, "secret"), 3)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := base.again(t)
			if err := spoil(t, &c); err != nil {
				t.Fatal(err)
			}
			before := listing(t, c.opt.Dir)
			s, err := Open(t.Context(), c.opt)
			if err == nil {
				t.Errorf("it starts: %v", s.Close())
			} else if !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("the error does not say what to do: %v", err)
			}
			if after := listing(t, c.opt.Dir); after != before {
				t.Errorf("files before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
		if err == nil && !st.IsDir() {
			fmt.Fprintf(&b, "%s %d\n", path, st.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDamageCanBeAccepted(t *testing.T) {
	t.Parallel()
	c := crash(t)
	last := c.recorded[8]
	flip(t, filepath.Join(c.opt.Dir, packName(1)), c.end-1)
	c.opt.AcceptDamage = true
	s := mustOpen(t, c.opt)
	if _, err := s.Open(t.Context(), last.ID); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("the damaged body gives %v, want ErrCorrupt", err)
	}
	for i, b := range c.recorded {
		if i != 8 {
			blobtest.Want(t, s, b.ID, b.p)
		}
	}
	for _, b := range c.lost[3:] {
		if _, err := os.Stat(filepath.Join(c.opt.Dir, largeName(b.ID))); err != nil {
			t.Errorf("a large file without a row went in spite of damage: %v", err)
		}
	}
}

// TestCopyWhileRunning copies rows, then the folder, while bodies are written:
// what had a row by then must be whole in every such copy.
func TestCopyWhileRunning(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	s := mustOpen(t, opt)
	f := blobtest.Fixture{Store: s, DB: opt.DB}
	stop := make(chan struct{})
	var mu sync.Mutex
	written := map[mail.ID][]byte{}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				p := blobtest.Bytes((i*7919)%40_000, uint64(w<<16+i))
				b := blobtest.Commit(t, s, p)
				mu.Lock()
				written[b.ID] = p
				mu.Unlock()
				blobtest.Record(t, f, b)
			}
		})
	}
	type moment struct {
		dir string
		db  db.DB
	}
	var moments []moment
	for range 5 {
		rows := rowsOf(t, opt.DB)
		moments = append(moments, moment{copyDir(t, opt.Dir), rows})
	}
	close(stop)
	wg.Wait()
	for _, m := range moments {
		o := opt
		o.Dir, o.DB = m.dir, m.db
		removeNewPacks(t, o)
		again := mustOpen(t, o)
		bodies, err := again.bodyQuery(t.Context(), "SELECT id, pack, start, length, size FROM body")
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bodies {
			blobtest.Want(t, again, b.id, written[b.id])
		}
		if faults := blobtest.Faults(t, again); len(faults) > 0 {
			t.Errorf("check: %q", faults)
		}
		t.Logf("a copy with %d bodies is whole", len(bodies))
	}
}

// removeNewPacks removes packs that came between the copy of the rows and that
// of the folder: a crash has one moment, a copy has two.
func removeNewPacks(t *testing.T, o Options) {
	t.Helper()
	var last int64
	err := o.DB.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT max(id) FROM pack"), nil, &last)
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := last + 1; ; id++ {
		if err := os.Remove(filepath.Join(o.Dir, packName(id))); err != nil {
			return
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	mustOpen(t, opt)
	if s, err := Open(t.Context(), opt); err == nil {
		t.Errorf("a second store opens the folder: %v", s.Close())
	}
}
