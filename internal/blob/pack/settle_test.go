package pack

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/db"
)

// prepare leaves bodies of some sizes to Settle.
func prepare(t *testing.T, s *Store, sizes ...int) []*blob.Body {
	t.Helper()
	var out []*blob.Body
	for _, n := range sizes {
		w, ok := s.Create().(blob.Preparer)
		if !ok {
			t.Fatal("a Writer is no Preparer")
		}
		if _, err := w.Write(blobtest.Bytes(n, uint64(n))); err != nil {
			t.Fatal(err)
		}
		b, err := w.Prepare(blob.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		w.Abort() // does nothing any more
		out = append(out, &b)
	}
	return out
}

// TestSettle: bodies can be recorded once they are written, and are durable when they
// say so: one write and one sync for all of a batch.
func TestSettle(t *testing.T) {
	t.Parallel()
	s, d, f := traceStore(t)
	bodies := prepare(t, s, 1, 5000, 100_000, 2<<20, 0)
	_, n := d.since(0)
	release := make(chan struct{})
	d.setFault(func(op, name string) error {
		if op == "datasync" && strings.HasPrefix(name, "packs/") {
			<-release
		}
		return nil
	})
	durable, err := s.Settle(bodies)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() { told <- durable() }()
	if err := s.db.Write(t.Context(), func(tx *db.Tx) error {
		for _, b := range bodies {
			if err := s.Record(tx, *b); err != nil {
				return err
			}
		}
		select {
		case err := <-told:
			t.Errorf("they are durable before the sync has ended, %v", err)
		default:
		}
		close(release)
		return durable()
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-told, durable()); err != nil {
		t.Error(err)
	}
	lines, _ := d.since(n)
	var ops []string
	for _, l := range lines {
		op, rest, _ := strings.Cut(l, " ")
		if strings.HasPrefix(rest, "packs/") {
			ops = append(ops, op)
		}
	}
	if got := strings.Join(ops, " "); got != "write datasync" {
		t.Errorf("the pack had: %s", got)
	}
	d.setFault(nil)
	for i, size := range []int{1, 5000, 100_000, 2 << 20, 0} {
		blobtest.Want(t, s, bodies[i].ID, blobtest.Bytes(size, uint64(size)))
	}
	if durable, err := s.Settle(bodies); err != nil || durable() != nil {
		t.Errorf("settled twice: %v", err)
	}
	if faults := blobtest.Faults(t, f.Store); len(faults) > 0 {
		t.Errorf("check: %q", faults)
	}
}

func TestSettleFails(t *testing.T) {
	t.Parallel()
	t.Run("sync", func(t *testing.T) {
		t.Parallel()
		s, d, _ := traceStore(t)
		d.setFault(faultOn("datasync", "packs/", syscall.EIO))
		durable, err := s.Settle(prepare(t, s, 10, 20))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := durable(); !errors.Is(err, blob.ErrSealed) {
				t.Errorf("a failed sync gives %v", err)
			}
		}
		if _, err := s.Settle(prepare(t, s, 30)); !errors.Is(err, blob.ErrSealed) {
			t.Errorf("a sealed store gives %v", err)
		}
	})
	t.Run("full disk", func(t *testing.T) {
		t.Parallel()
		s, d, f := traceStore(t)
		d.setFault(faultOn("write", "packs/", syscall.ENOSPC))
		if _, err := s.Settle(prepare(t, s, 10, 20)); !errors.Is(err, blob.ErrFull) {
			t.Errorf("a full disk gives %v", err)
		}
		d.setFault(nil)
		bodies := prepare(t, s, 30)
		durable, err := s.Settle(bodies)
		if err != nil || durable() != nil {
			t.Fatal(err)
		}
		blobtest.Record(t, f, *bodies[0])
		blobtest.Want(t, s, bodies[0].ID, blobtest.Bytes(30, 30))
	})
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		s, _, _ := traceStore(t)
		bodies := prepare(t, s, 10)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Settle(bodies); err == nil {
			t.Error("a closed store settles")
		}
	})
}

// TestPreparedMemory: what a prepared body holds is given back once it is written, could
// not be, or is dropped.
func TestPreparedMemory(t *testing.T) {
	t.Parallel()
	const all = 2 << 20
	m := &budget{left: all}
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	d := &tracer{disk: osDisk{dir: opt.Dir}}
	opt.Memory, opt.disk = m, d
	s := mustOpen(t, opt)
	for name, end := range map[string]func([]*blob.Body){
		"settled": func(b []*blob.Body) {
			if durable, err := s.Settle(b); err != nil || durable() != nil {
				t.Error(err)
			}
		},
		"not written": func(b []*blob.Body) {
			d.setFault(faultOn("write", "packs/", syscall.ENOSPC))
			defer d.setFault(nil)
			if _, err := s.Settle(b); err == nil {
				t.Error("a full disk is no error")
			}
		},
		"dropped": func(b []*blob.Body) { s.Drop(*b[0], *b[1]) },
	} {
		bodies := prepare(t, s, 1000, 50<<10)
		if m.left == all {
			t.Errorf("%s: nothing was charged", name)
		}
		if end(bodies); m.left != all {
			t.Errorf("%s: %d octets stay charged", name, all-m.left)
		}
	}
}
