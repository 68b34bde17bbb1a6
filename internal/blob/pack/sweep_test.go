package pack

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/db"
)

// TestCompactionUnderReaders moves bodies again and again while others read them.
func TestCompactionUnderReaders(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	opt.Grace = time.Microsecond
	s := mustOpen(t, opt)
	f := blobtest.Fixture{Store: s, DB: opt.DB}
	var kept []blobtestBody
	for i := range 10 {
		p := blobtest.Bytes(300*i, uint64(i))
		b := blobtest.Commit(t, s, p)
		blobtest.Record(t, f, b)
		kept = append(kept, blobtestBody{b, p})
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				for _, b := range kept {
					select {
					case <-stop:
						return
					default:
						blobtest.Want(t, s, b.ID, b.p)
					}
				}
			}
		})
	}
	first := s.keep.active()
	for range 5 {
		for i := range 4 {
			b := blobtest.Commit(t, s, blobtest.Bytes(100_000, uint64(i)))
			blobtest.Record(t, f, b)
			blobtest.Release(t, f, b)
		}
		roll(t, s)
		if _, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
	names, err := s.disk.list("packs")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) > 5 || packName(first) == "packs/"+names[0] {
		t.Errorf("packs left: %q", names)
	}
	if faults := blobtest.Faults(t, s); len(faults) > 0 {
		t.Errorf("check: %q", faults)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, opt)
	for _, b := range kept {
		blobtest.Want(t, again, b.ID, b.p)
	}
}

// TestAPackWithAnUnrecordedBodyIsNotCompacted holds a body between Commit and
// Record while its pack is swept.
func TestAPackWithAnUnrecordedBodyIsNotCompacted(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	opt.Grace = time.Microsecond
	s := mustOpen(t, opt)
	f := blobtest.Fixture{Store: s, DB: opt.DB}
	dead := blobtest.Commit(t, s, blobtest.Bytes(100_000, 1))
	waits := blobtest.Commit(t, s, blobtest.Bytes(1000, 2))
	large := blobtest.Commit(t, s, blobtest.Bytes(2<<20, 3))
	blobtest.Record(t, f, dead)
	blobtest.Release(t, f, dead)
	roll(t, s)
	for range 2 {
		if _, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil {
			t.Fatal(err)
		}
	}
	blobtest.Record(t, f, waits, large)
	blobtest.Want(t, s, waits.ID, blobtest.Bytes(1000, 2))
	blobtest.Want(t, s, large.ID, blobtest.Bytes(2<<20, 3))
}

// TestDeadBytesAreErasedInTime shows that a pack that is mostly alive, and even
// the active one, gives up its dead bytes after the time set.
func TestDeadBytesAreErasedInTime(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	opt.Grace, opt.Erase = time.Microsecond, time.Microsecond
	s := mustOpen(t, opt)
	f := blobtest.Fixture{Store: s, DB: opt.DB}
	live := blobtest.Commit(t, s, blobtest.Bytes(100_000, 1))
	dead := blobtest.Commit(t, s, blobtest.Bytes(1000, 2))
	blobtest.Record(t, f, live, dead)
	blobtest.Release(t, f, dead)
	for range 2 {
		if _, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil {
			t.Fatal(err)
		}
		waitSealed(s)
	}
	if _, err := s.disk.open(packName(1), 0); !isMissing(err) {
		t.Errorf("the pack with dead bytes is still there: %v", err)
	}
	blobtest.Want(t, s, live.ID, blobtest.Bytes(100_000, 1))
}

func TestAnUnrecordedBodyIsDroppedInTime(t *testing.T) {
	t.Parallel()
	s, _, f := traceStore(t)
	b := blobtest.Commit(t, s, blobtest.Bytes(2<<20, 1))
	s.pending.mu.Lock()
	w := s.pending.bodies[b.ID]
	w.since = w.since.Add(-2 * recordWithin)
	s.pending.bodies[b.ID] = w
	s.pending.mu.Unlock()
	done, err := s.Sweep(t.Context(), blobtest.Refs())
	if err != nil || done.Bytes < 2<<20 {
		t.Fatalf("swept %+v, %v", done, err)
	}
	err = f.DB.Write(t.Context(), func(tx *db.Tx) error { return s.Record(tx, b) })
	if !errors.Is(err, blob.ErrNotFound) {
		t.Error("a dropped body can be recorded")
	}
}

// TestSmallPacksAreBroughtTogether restarts so often that packs would pile up.
func TestSmallPacksAreBroughtTogether(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	var kept []blobtestBody
	var s *Store
	for i := range manySmall + 2 {
		s = mustOpen(t, opt)
		p := blobtest.Bytes(500, uint64(i))
		b := blobtest.Commit(t, s, p)
		blobtest.Record(t, blobtest.Fixture{Store: s, DB: opt.DB}, b)
		kept = append(kept, blobtestBody{b, p})
		if i <= manySmall {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil {
		t.Fatal(err)
	}
	names, err := s.disk.list("packs")
	if err != nil || len(names) > 2 {
		t.Errorf("packs left: %q, %v", names, err)
	}
	for _, b := range kept {
		blobtest.Want(t, s, b.ID, b.p)
	}
	if faults := blobtest.Faults(t, s); len(faults) > 0 {
		t.Errorf("check: %q", faults)
	}
}

// TestAStartReadsNoSealedPack damages a sealed pack: a start does not see it,
// since it reads tails only; Check does.
func TestAStartReadsNoSealedPack(t *testing.T) {
	t.Parallel()
	s, _, f := traceStore(t)
	b := blobtest.Commit(t, s, blobtest.Bytes(5000, 1))
	blobtest.Record(t, f, b)
	roll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(s.opt.Dir, packName(1)), 3000)
	again := mustOpen(t, small(s.opt.Dir, s.opt.DB))
	if faults := blobtest.Faults(t, again); len(faults) != 1 {
		t.Errorf("check: %q, want one fault", faults)
	}
	if _, err := again.Open(t.Context(), b.ID); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("open gives %v, want ErrCorrupt", err)
	}
}

func TestTheEntryTellsWhoseBodyItIs(t *testing.T) {
	t.Parallel()
	s, _, _ := traceStore(t)
	w := s.Create()
	want := blob.Meta{Message: 1, Tenant: 2, Account: 3, Mailbox: 4, Time: 5}
	b, err := w.Commit(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePlace(b.Place, b.Size)
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := s.readBody(b.ID, p)
	if err != nil || e.Meta != want {
		t.Errorf("entry says %+v, %v; want %+v", e.Meta, err, want)
	}
}

// TestABodyReferredToAgainIsKept has a reference come back between the look for
// dead bodies and their deletion.
func TestABodyReferredToAgainIsKept(t *testing.T) {
	t.Parallel()
	s, _, f := traceStore(t)
	kept, dead := blobtest.Commit(t, s, blobtest.Bytes(10, 1)), blobtest.Commit(t, s, blobtest.Bytes(10, 2))
	blobtest.Record(t, f, kept, dead)
	blobtest.Release(t, f, dead)
	free, err := blob.Unreferenced(blobtest.Refs())
	if err != nil {
		t.Fatal(err)
	}
	var done blob.Swept
	if err := s.deleteDead(t.Context(), free, []int64{int64(kept.ID), int64(dead.ID)}, &done); err != nil {
		t.Fatal(err)
	}
	if done.Bodies != 1 {
		t.Errorf("%d bodies deleted, want 1", done.Bodies)
	}
	blobtest.Want(t, s, kept.ID, blobtest.Bytes(10, 1))
	blobtest.WantMissing(t, s, dead.ID)
}
