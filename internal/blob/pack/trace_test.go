package pack

import (
	"fmt"

	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/blob/blobtest"
)

// tracer is a disk that writes down what is done to it, and can fail on purpose.
type tracer struct {
	disk
	mu    sync.Mutex
	lines []string
	// fault may return an error for an operation instead of doing it; of a
	// write half is done.
	fault func(op, name string) error
}

func (d *tracer) note(op, name, rest string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, strings.TrimSpace(op+" "+name+" "+rest))
	if d.fault == nil {
		return nil
	}
	return d.fault(op, name)
}

func (d *tracer) setFault(f func(op, name string) error) {
	d.mu.Lock()
	d.fault = f
	d.mu.Unlock()
}

// since returns the lines from n on, and how many there are now.
func (d *tracer) since(n int) ([]string, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.lines[n:]...), len(d.lines)
}

func (d *tracer) open(name string, flag int) (file, error) {
	if flag&os.O_CREATE != 0 {
		if err := d.note("create", name, ""); err != nil {
			return nil, err
		}
	}
	f, err := d.disk.open(name, flag)
	if err != nil {
		return nil, err
	}
	return &traced{file: f, d: d, name: name}, nil
}

func (d *tracer) remove(name string) error {
	if err := d.note("remove", name, ""); err != nil {
		return err
	}
	return d.disk.remove(name)
}

func (d *tracer) rename(from, to string) error {
	if err := d.note("rename", from, to); err != nil {
		return err
	}
	return d.disk.rename(from, to)
}

func (d *tracer) syncDir(name string) error {
	if err := d.note("syncdir", name+"/", ""); err != nil {
		return err
	}
	return d.disk.syncDir(name)
}

type traced struct {
	file
	d    *tracer
	name string
}

func (f *traced) WriteAt(p []byte, off int64) (int, error) {
	if err := f.d.note("write", f.name, fmt.Sprintf("%d+%d", off, len(p))); err != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.file.WriteAt(p, off)
}

func (f *traced) Sync() error {
	if err := f.d.note("sync", f.name, ""); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *traced) Datasync() error {
	if err := f.d.note("datasync", f.name, ""); err != nil {
		return err
	}
	return f.file.Datasync()
}

func (f *traced) Truncate(size int64) error {
	if err := f.d.note("truncate", f.name, fmt.Sprint(size)); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

// traceStore opens a store whose pack needs no extension, so that only what a
// test does appears in the trace.
func traceStore(t *testing.T) (*Store, *tracer, blobtest.Fixture) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "blobs")
	d := &tracer{disk: osDisk{dir: dir}}
	opt := small(dir, newDB(t))
	opt.PackSize, opt.Prealloc, opt.Grace, opt.disk = 1<<20, 1<<20, 1, d
	s := mustOpen(t, opt)
	if _, _, err := s.keep.reserve(1, false); err != nil { // zeroes all of it
		t.Fatal(err)
	}
	return s, d, blobtest.Fixture{Store: s, DB: opt.DB}
}

var bodyID = regexp.MustCompile(`large/\S+`)

func wantTrace(t *testing.T, got []string, want string) {
	t.Helper()
	text := bodyID.ReplaceAllString(strings.Join(got, "\n"), "large/ID")
	if diff := cmp.Diff(strings.Trim(want, "\n"), text); diff != "" {
		t.Errorf("file operations (-want +got):\n%s", diff)
	}
}

func TestTraceOfAStart(t *testing.T) {
	t.Parallel()
	_, d, _ := traceStore(t)
	got, _ := d.since(0)
	wantTrace(t, got, `
create secret.new
write secret.new 0+32
sync secret.new
rename secret.new secret
syncdir /
syncdir ../
create packs/0000000001.pack
write packs/0000000001.pack 0+64
sync packs/0000000001.pack
syncdir packs/
write packs/0000000001.pack 64+262144
write packs/0000000001.pack 262208+262144
write packs/0000000001.pack 524352+262144
write packs/0000000001.pack 786496+262080
datasync packs/0000000001.pack`)
}

func TestSyncComesBeforeCommitReturns(t *testing.T) {
	t.Parallel()
	s, d, _ := traceStore(t)
	_, n := d.since(0)
	blobtest.Commit(t, s, blobtest.Bytes(1000, 1))
	got, n := d.since(n)
	wantTrace(t, got, `
write packs/0000000001.pack 64+1120
datasync packs/0000000001.pack`)
	blobtest.Commit(t, s, blobtest.Bytes(700_001, 1))
	got, _ = d.since(n)
	wantTrace(t, got, `
write packs/0000000001.pack 1184+262144
write packs/0000000001.pack 263328+262144
write packs/0000000001.pack 525472+175840
datasync packs/0000000001.pack`)
}

func TestSyncOfFileAndFolderComeBeforeALargeCommitReturns(t *testing.T) {
	t.Parallel()
	s, d, f := traceStore(t)
	_, n := d.since(0)
	b := blobtest.Commit(t, s, blobtest.Bytes(1<<20+1, 1))
	got, n := d.since(n)
	if len(got) != 21 {
		t.Errorf("%d file operations, want create, 16 blocks, rest, header, 2 syncs", len(got))
	}
	wantTrace(t, got[:2], "create large/ID\nwrite large/ID 120+65552")
	wantTrace(t, got[len(got)-4:], `
write large/ID 1048952+17
write large/ID 0+120
sync large/ID
syncdir large/`)
	blobtest.Record(t, f, b)
	blobtest.Release(t, f, b)
	if _, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil {
		t.Fatal(err)
	}
	got, _ = d.since(n)
	wantTrace(t, got, "remove large/ID")
}

func TestTraceOfACompaction(t *testing.T) {
	t.Parallel()
	s, d, f := traceStore(t)
	var bodies []blobtestBody
	for i := range 3 {
		p := blobtest.Bytes(300_000, uint64(i))
		b := blobtest.Commit(t, s, p)
		blobtest.Record(t, f, b)
		bodies = append(bodies, blobtestBody{b, p})
	}
	roll(t, s)
	blobtest.Release(t, f, bodies[0].Body, bodies[1].Body)
	_, n := d.since(0)
	if done, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil || done.Bodies != 2 || done.Bytes < 900_000 {
		t.Fatalf("swept %+v, %v", done, err)
	}
	got, _ := d.since(n)
	wantTrace(t, got, `
write packs/0000000002.pack 64+262144
write packs/0000000002.pack 262208+37976
datasync packs/0000000002.pack
remove packs/0000000001.pack
syncdir packs/`)
	blobtest.Want(t, s, bodies[2].ID, bodies[2].p)
}

// roll ends the active pack and waits until it is sealed.
func roll(t *testing.T, s *Store) {
	t.Helper()
	old := s.keep.active()
	if _, err := s.submit(t.Context(), &job{roll: true, done: make(chan result, 1)}); err != nil {
		t.Fatal(err)
	}
	if s.keep.active() == old {
		t.Fatal("the active pack did not end")
	}
	waitSealed(s)
}

// waitSealed waits until every pack that ended is sealed.
func waitSealed(s *Store) {
	s.keep.mu.Lock()
	defer s.keep.mu.Unlock()
	for len(s.keep.retired) > 0 && !s.keep.closed {
		s.keep.cond.Wait()
	}
}
