package pack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/blob/staging"
)

type blobtestBody struct {
	blob.Body
	p []byte
}

// faultOn fails one kind of operation on names with a prefix.
func faultOn(op, prefix string, err error) func(string, string) error {
	return func(o, name string) error {
		if o == op && strings.HasPrefix(name, prefix) {
			return &os.PathError{Op: op, Path: name, Err: err}
		}
		return nil
	}
}

func tryCommit(t *testing.T, s *Store, n int) (blob.Body, error) {
	t.Helper()
	w := s.Create()
	defer w.Abort()
	if _, err := w.Write(blobtest.Bytes(n, uint64(n))); err != nil {
		return blob.Body{}, err
	}
	return w.Commit(t.Context(), blob.Meta{})
}

func TestAFailedWriteOrSyncIsFinal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, op, prefix string
		size             int
	}{
		{"sync of a pack", "datasync", "packs/", 1000},
		{"write to a pack", "write", "packs/", 1000},
		{"write to a large file", "write", "large/", 2 << 20},
		{"sync of a large file", "sync", "large/", 2 << 20},
		{"sync of the folder of large files", "syncdir", "large/", 2 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, d, f := traceStore(t)
			before, err := tryCommit(t, s, 500)
			if err != nil {
				t.Fatal(err)
			}
			blobtest.Record(t, f, before)
			d.setFault(faultOn(c.op, c.prefix, syscall.EIO))
			if _, err := tryCommit(t, s, c.size); !errors.Is(err, blob.ErrSealed) {
				t.Fatalf("commit gives %v, want ErrSealed", err)
			}
			d.setFault(nil)
			_, n := d.since(0)
			for _, size := range []int{10, 2 << 20} {
				if _, err := tryCommit(t, s, size); !errors.Is(err, blob.ErrSealed) {
					t.Errorf("a later commit gives %v, want ErrSealed", err)
				}
			}
			if got, _ := d.since(n); len(got) != 0 {
				t.Errorf("a sealed store still does %q", got)
			}
			if err := s.Health(); !errors.Is(err, blob.ErrSealed) {
				t.Errorf("health gives %v, want ErrSealed", err)
			}
			blobtest.Want(t, s, before.ID, blobtest.Bytes(500, 500))
			reopenAfterFault(t, s, before)
		})
	}
}

// reopenAfterFault shows that a restart recovers.
func reopenAfterFault(t *testing.T, s *Store, before blob.Body) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, small(s.opt.Dir, s.opt.DB))
	blobtest.Want(t, again, before.ID, blobtest.Bytes(500, 500))
	b, err := tryCommit(t, again, 700)
	if err != nil {
		t.Fatal(err)
	}
	blobtest.Record(t, blobtest.Fixture{Store: again, DB: s.opt.DB}, b)
	blobtest.Want(t, again, b.ID, blobtest.Bytes(700, 700))
}

func TestEveryoneInAGroupHearsOfAFailedSync(t *testing.T) {
	t.Parallel()
	s, d, _ := traceStore(t)
	d.setFault(faultOn("datasync", "packs/", syscall.EIO))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := tryCommit(t, s, 100+i); !errors.Is(err, blob.ErrSealed) {
				t.Errorf("commit gives %v, want ErrSealed", err)
			}
		})
	}
	wg.Wait()
}

func TestAFullDiskIsNotFinal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, prefix string
		size         int
	}{
		{"write to a pack", "packs/", 1000},
		{"zeros ahead of need", "packs/", 900_000},
		{"write to a large file", "large/", 2 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, d, f := traceStore(t)
			before, err := tryCommit(t, s, 400_000)
			if err != nil {
				t.Fatal(err)
			}
			blobtest.Record(t, f, before)
			d.setFault(faultOn("write", c.prefix, syscall.ENOSPC))
			for range 3 {
				if _, err := tryCommit(t, s, c.size); !errors.Is(err, blob.ErrFull) || errors.Is(err, blob.ErrSealed) {
					t.Fatalf("commit gives %v, want ErrFull", err)
				}
			}
			d.setFault(nil)
			after, err := tryCommit(t, s, c.size)
			if err != nil {
				t.Fatalf("with space again: %v", err)
			}
			blobtest.Record(t, f, after)
			blobtest.Want(t, s, before.ID, blobtest.Bytes(400_000, 400_000))
			blobtest.Want(t, s, after.ID, blobtest.Bytes(c.size, uint64(c.size)))
			if faults := blobtest.Faults(t, s); len(faults) > 0 {
				t.Errorf("check: %q", faults)
			}
		})
	}
}

func TestTheLastOfTheFileSystemIsKept(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	opt.MinFree = 1 << 62
	s := mustOpen(t, opt)
	for _, size := range []int{10, 2 << 20} {
		if _, err := tryCommit(t, s, size); !errors.Is(err, blob.ErrFull) {
			t.Errorf("commit of %d octets gives %v, want ErrFull", size, err)
		}
	}
	if err := s.Health(); !errors.Is(err, blob.ErrFull) {
		t.Errorf("health gives %v, want ErrFull", err)
	}
}

// budget allows a number of octets.
type budget struct {
	mu   sync.Mutex
	left int
}

var errBudget = errors.New("no memory left")

func (b *budget) Take(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left {
		return errBudget
	}
	b.left -= n
	return nil
}

func (b *budget) Give(n int) {
	b.mu.Lock()
	b.left += n
	b.mu.Unlock()
}

func TestMemoryIsCharged(t *testing.T) {
	t.Parallel()
	const all = 2 << 20
	m := &budget{left: all}
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	opt.Memory = m
	s := mustOpen(t, opt)
	for _, c := range []struct{ size, held int }{
		{0, 0}, {1, staging.SmallLen}, {5 << 10, staging.SmallLen}, {8 << 10, staging.SmallLen}, {9 << 10, blockLen},
		{50 << 10, blockLen}, {blob.InMemory, blob.InMemory}, {5 << 20, blockLen},
	} {
		for _, commit := range []bool{true, false} {
			w := s.Create()
			if _, err := w.Write(make([]byte, c.size)); err != nil {
				t.Fatal(err)
			}
			m.mu.Lock()
			if held := all - m.left; held != c.held {
				t.Errorf("a body of %d octets holds %d, want %d", c.size, held, c.held)
			}
			m.mu.Unlock()
			if commit {
				if _, err := w.Commit(t.Context(), blob.Meta{}); err != nil {
					t.Fatal(err)
				}
			}
			w.Abort()
			if m.left != all {
				t.Errorf("a body of %d octets leaves %d charged", c.size, all-m.left)
			}
		}
	}
	m.left = staging.SmallLen
	if _, err := tryCommit(t, s, 100<<10); !errors.Is(err, errBudget) {
		t.Errorf("a body beyond the budget gives %v", err)
	}
	if m.left != staging.SmallLen {
		t.Error("the refused body stays charged")
	}
}
