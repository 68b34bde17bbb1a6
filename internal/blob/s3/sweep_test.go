package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
)

// hasty returns options under which everything is old at once.
func hasty(t testing.TB, srv *testkit.S3) Options {
	o := options(t, srv)
	o.Grace, o.stranger, o.late = time.Nanosecond, time.Nanosecond, time.Hour
	return o
}

func fixture(s *Store) blobtest.Fixture { return blobtest.Fixture{Store: s, DB: s.db} }

func sweep(t testing.TB, s *Store) blob.Swept {
	t.Helper()
	done, err := s.Sweep(t.Context(), blobtest.Refs())
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	return done
}

func keys(t testing.TB, srv *testkit.S3, s *Store) []string {
	t.Helper()
	keys, err := srv.Keys(s.opt.under(bodiesFolder))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// states counts the objects in each state.
func states(t testing.TB, s *Store) map[int64]int {
	t.Helper()
	rows, err := s.objects(t.Context(), "1 = 1", 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	count := map[int64]int{}
	for _, o := range rows {
		count[o.state]++
	}
	return count
}

func wantNoFaults(t testing.TB, s *Store) {
	t.Helper()
	if faults := blobtest.Faults(t, s); len(faults) > 0 {
		t.Errorf("check: %q", faults)
	}
}

// together commits bodies into one object.
func together(t testing.TB, s *Store, bodies ...[]byte) []blob.Body {
	t.Helper()
	for range puts {
		s.slots <- struct{}{}
	}
	list := make([]blob.Body, len(bodies))
	var wg sync.WaitGroup
	for i, p := range bodies {
		wg.Go(func() { list[i] = blobtest.Commit(t, s, p) })
	}
	testkit.Eventually(t, 10*time.Second, "bodies to gather", func() bool { return len(s.queue) == len(bodies)-1 })
	for range puts {
		<-s.slots
	}
	wg.Wait()
	return list
}

func TestSweepLeavesWhatIsPending(t *testing.T) {
	t.Parallel()
	srv := server(t)
	s := mustOpen(t, hasty(t, srv))
	a, b := blobtest.Bytes(5000, 1), blobtest.Bytes(6000, 2)
	both := together(t, s, a, b)
	large := blobtest.Commit(t, s, blobtest.Bytes(2<<20, 3))
	if n := len(keys(t, srv, s)); n != 2 {
		t.Fatalf("%d objects", n)
	}
	sweep(t, s)
	blobtest.Record(t, fixture(s), both[0], large)
	sweep(t, s)
	// The object now has no body that anybody refers to, but one may come.
	blobtest.Release(t, fixture(s), both[0], large)
	for range 3 {
		sweep(t, s)
	}
	if n := len(keys(t, srv, s)); n != 1 {
		t.Fatalf("%d objects while one body is pending", n)
	}
	blobtest.Record(t, fixture(s), both[1])
	sweep(t, s)
	sweep(t, s)
	forget(s)
	blobtest.Want(t, s, both[1].ID, b)
	blobtest.WantMissing(t, s, both[0].ID)
	wantNoFaults(t, s)
	blobtest.Release(t, fixture(s), both[1])
	sweep(t, s)
	if n := len(keys(t, srv, s)); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

func TestSweepTakesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	srv := server(t)
	opt := hasty(t, srv)
	first := mustOpen(t, opt)
	kept := blobtest.Commit(t, first, blobtest.Bytes(5000, 1))
	blobtest.Record(t, fixture(first), kept)
	lost := blobtest.Commit(t, first, blobtest.Bytes(6000, 2))
	large := blobtest.Commit(t, first, blobtest.Bytes(2<<20, 3))
	if n := len(keys(t, srv, first)); n != 3 {
		t.Fatalf("%d objects", n)
	}
	// A process that has just begun does not take them yet ...
	patient := opt
	patient.stranger = time.Hour
	sweep(t, mustOpen(t, patient))
	if n := len(keys(t, srv, first)); n != 3 {
		t.Fatalf("%d objects after the sweep of a patient process", n)
	}
	// ... but later.
	second := mustOpen(t, opt)
	sweep(t, second)
	if n := len(keys(t, srv, first)); n != 1 {
		t.Errorf("%d objects after the sweep of the next process", n)
	}
	// Should the first one be alive after all, it learns that it is too late.
	for _, b := range []blob.Body{lost, large} {
		err := first.db.Write(t.Context(), func(tx *db.Tx) error { return first.Record(tx, b) })
		if !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("a body whose object was condemned is recorded: %v", err)
		}
		blobtest.WantMissing(t, first, b.ID)
	}
	blobtest.Want(t, second, kept.ID, blobtest.Bytes(5000, 1))
	wantNoFaults(t, second)
	// The first one's intents went as well, so it makes new ones.
	again, err := first.Create(), error(nil)
	if _, err = again.Write([]byte("x")); err == nil {
		_, err = again.Commit(t.Context(), blob.Meta{})
	}
	if err != nil {
		t.Errorf("commit: %v", err)
	}
}

// TestRestoreTwice has a move that was broken off begin anew.
func TestRestoreTwice(t *testing.T) {
	t.Parallel()
	srv := server(t)
	s := mustOpen(t, hasty(t, srv))
	var tries []blob.Body
	for i := range 2 {
		w := s.Restore(1234)
		if _, err := w.Write(blobtest.Bytes(5000, uint64(i))); err != nil {
			t.Fatal(err)
		}
		b, err := w.Commit(t.Context(), blob.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		tries = append(tries, b)
	}
	if err := s.db.Write(t.Context(), func(tx *db.Tx) error { return s.Record(tx, tries[0]) }); err == nil {
		t.Error("the first try is recorded after the second")
	}
	blobtest.Record(t, fixture(s), tries[1])
	blobtest.Want(t, s, 1234, blobtest.Bytes(5000, 1))
	sweep(t, s)
	if n := len(keys(t, srv, s)); n != 1 {
		t.Errorf("%d objects", n)
	}
	forget(s)
	blobtest.Want(t, s, 1234, blobtest.Bytes(5000, 1))
}

func TestCloseGivesIntentsBack(t *testing.T) {
	t.Parallel()
	srv := server(t)
	opt := options(t, srv)
	s := mustOpen(t, opt)
	blobtest.Record(t, fixture(s), blobtest.Commit(t, s, []byte("x")))
	if n := states(t, s); n[stateIntent] != reserveBatch-1 || n[stateKept] != 1 {
		t.Errorf("states %v", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := states(t, s); n[stateIntent] != 0 || n[stateKept] != 1 {
		t.Errorf("states %v after Close", n)
	}
}

// TestLatePut has a request land long after everybody gave it up.
func TestLatePut(t *testing.T) {
	t.Parallel()
	srv := server(t)
	proxy := testkit.NewS3Proxy(t, srv.Endpoint)
	opt := hasty(t, srv)
	opt.Endpoint, opt.Timeout, opt.Retries, opt.late = proxy.Endpoint, silence, -1, time.Hour
	s := mustOpen(t, opt)
	land := make(chan struct{})
	proxy.Set(func(r *http.Request) testkit.S3Fault {
		if r.Method == http.MethodPut {
			return testkit.S3Fault{Until: land}
		}
		return testkit.S3Fault{}
	})
	w := s.Create()
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), blob.Meta{}); err == nil {
		t.Fatal("a body is committed that the service has not got")
	}
	testkit.Eventually(t, 30*time.Second, "the intent to be given up", func() bool {
		_, err := s.Sweep(t.Context(), blobtest.Refs())
		return err == nil && states(t, s)[stateErased] == 1
	})
	close(land)
	testkit.Eventually(t, 10*time.Second, "the request to land", func() bool { return len(keys(t, srv, s)) == 1 })
	proxy.Set(nil)
	healthy := patient(t, s)
	wantNoFaults(t, healthy)
	sweep(t, healthy)
	if n := states(t, s); n[stateErased] == 0 {
		t.Fatalf("states %v", n)
	}
	healthy.opt.late = time.Nanosecond // the hour is over
	testkit.Eventually(t, 30*time.Second, "the object to go", func() bool {
		sweep(t, healthy)
		return len(keys(t, srv, s)) == 0 && states(t, s)[stateErased] == 0
	})
}

func TestCompaction(t *testing.T) {
	t.Parallel()
	srv := server(t)
	opt := hasty(t, srv)
	opt.CacheSize = 1
	s := mustOpen(t, opt)
	var bodies [][]byte
	for i := range 10 {
		bodies = append(bodies, blobtest.Bytes(i*70_000, uint64(i)))
	}
	list := together(t, s, bodies...)
	blobtest.Record(t, fixture(s), list...)
	if n := len(keys(t, srv, s)); n != 1 {
		t.Fatalf("%d objects", n)
	}
	reader, err := s.Open(t.Context(), list[9].ID) // it holds the first block
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	before := keys(t, srv, s)[0]
	blobtest.Release(t, fixture(s), list[1:9]...)
	done := sweep(t, s)
	if done.Bodies != 8 || done.Bytes != 45*70_000 {
		t.Errorf("swept %+v", done)
	}
	after := keys(t, srv, s)
	if len(after) != 1 || after[0] == before {
		t.Errorf("objects %q, before %q", after, before)
	}
	got, err := io.ReadAll(io.NewSectionReader(reader, 0, reader.Size()))
	if err != nil || !bytes.Equal(got, bodies[9]) {
		t.Errorf("the reader of a body that has moved gives %d octets, %v", len(got), err)
	}
	for _, i := range []int{0, 9} {
		blobtest.Want(t, s, list[i].ID, bodies[i])
	}
	wantNoFaults(t, s)
	sweep(t, s)
	if again := keys(t, srv, s); len(again) != 1 || again[0] != after[0] {
		t.Errorf("objects %q after another sweep", again)
	}
}

// TestMovedMeanwhile has a body that was deleted, and one that another process
// moved, while a compaction copied them.
func TestMovedMeanwhile(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, hasty(t, server(t)))
	list := together(t, s, blobtest.Bytes(5000, 0), blobtest.Bytes(6000, 1), blobtest.Bytes(7000, 2))
	blobtest.Record(t, fixture(s), list...)
	sweep(t, s) // the object is settled
	p, err := s.lookup(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.bodiesOf(t.Context(), p.object, bodyRow{}, 10)
	if err != nil || len(rows) != 3 {
		t.Fatal(rows, err)
	}
	blobtest.Release(t, fixture(s), list[2])
	copied := make([]mail.ID, 2)
	for i := range copied {
		var moves []move
		var jobs []*job
		err := s.eachBody(t.Context(), p.object, rows, func(b bodyRow, octets []byte, err error) error {
			j := &job{body: indexed{id: b.id, length: b.length}, sums: b.sums, chunks: [][]byte{bytes.Clone(octets)}}
			moves, jobs = append(moves, move{b, j}), append(jobs, j)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			err = s.db.Write(t.Context(), func(tx *db.Tx) error {
				_, err := tx.Exec(db.SQL("DELETE FROM body WHERE id = ?"), int64(list[2].ID))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		object, size, err := s.writeObject(t.Context(), jobs)
		if err == nil {
			err = s.db.Write(t.Context(), func(tx *db.Tx) error { return s.setPlaces(tx, object, size, moves) })
		}
		if err != nil {
			t.Fatal(err)
		}
		s.pending.release(object)
		copied[i] = object
	}
	for i, dead := range []int64{7000, 18_000} {
		o, err := s.objects(t.Context(), "id = ?", 0, 1, int64(copied[i]))
		if err != nil || len(o) != 1 || o[0].dead != dead || o[0].size != 18_000 {
			t.Errorf("object %d: %+v, %v, want %d dead", i, o, err, dead)
		}
	}
	for i, b := range list[:2] {
		if p, err := s.lookup(t.Context(), b.ID); err != nil || p.object != copied[0] {
			t.Errorf("body %d: %+v, %v", i, p, err)
		}
		blobtest.Want(t, s, b.ID, blobtest.Bytes(5000+i*1000, uint64(i)))
	}
	wantNoFaults(t, s)
}

// TestErase has what is deleted, or was never recorded, vanish from an object
// in which more lives.
func TestErase(t *testing.T) {
	t.Parallel()
	srv := server(t)
	for name, dead := range map[string]func(*testing.T, *Store, blob.Body){
		"deleted": func(t *testing.T, s *Store, b blob.Body) {
			blobtest.Record(t, fixture(s), b)
			blobtest.Release(t, fixture(s), b)
		},
		"dropped": func(_ *testing.T, s *Store, b blob.Body) { s.Drop(b) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mustOpen(t, hasty(t, srv))
			secret := bytes.Repeat([]byte("secret"), 100)
			list := together(t, s, secret, blobtest.Bytes(50_000, 1))
			blobtest.Record(t, fixture(s), list[1])
			dead(t, s, list[0])
			holds := func() bool {
				for _, key := range keys(t, srv, s) {
					b, err := os.ReadFile(srv.Dir + "/" + key)
					if err != nil {
						t.Fatal(err)
					}
					if bytes.Contains(b, secret) {
						return true
					}
				}
				return false
			}
			sweep(t, s)
			if !holds() {
				t.Error("an object is rewritten for little")
			}
			s.SetErase(time.Nanosecond)
			sweep(t, s)
			if holds() {
				t.Error("what is dead is still there")
			}
			blobtest.Want(t, s, list[1].ID, blobtest.Bytes(50_000, 1))
			wantNoFaults(t, s)
		})
	}
}

func TestCompactionKeepsWhatIsDamaged(t *testing.T) {
	t.Parallel()
	srv := server(t)
	s := mustOpen(t, hasty(t, srv))
	list := together(t, s, blobtest.Bytes(5000, 0), blobtest.Bytes(5000, 1), blobtest.Bytes(5000, 2), blobtest.Bytes(5000, 3))
	blobtest.Record(t, fixture(s), list...)
	p, err := s.lookup(t.Context(), list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, path(srv, s, p.object), p.start)
	blobtest.Release(t, fixture(s), list[2], list[3])
	sweep(t, s)
	sweep(t, s)
	forget(s)
	blobtest.Want(t, s, list[1].ID, blobtest.Bytes(5000, 1))
	if _, err := s.Open(t.Context(), list[0].ID); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("open a damaged body: %v", err)
	}
}

// TestSweepsTogether has two processes sweep, compact and write at once.
func TestSweepsTogether(t *testing.T) {
	t.Parallel()
	srv := server(t)
	opt := hasty(t, srv)
	opt.stranger, opt.late, opt.CacheSize = time.Hour, time.Nanosecond, 1
	stores := []*Store{mustOpen(t, opt), mustOpen(t, opt)}
	ctx, cancel := context.WithCancel(t.Context())
	var sweepers, writers sync.WaitGroup
	for _, s := range stores {
		sweepers.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Sweep(ctx, blobtest.Refs()); err != nil {
					t.Errorf("sweep: %v", err)
					return
				}
			}
		})
	}
	for n, s := range stores {
		for w := range 3 {
			writers.Go(func() { churn(t, s, stores[1-n], uint64(n*100+w*10)) })
		}
	}
	writers.Wait()
	cancel()
	sweepers.Wait()
	wantNoFaults(t, stores[0])
}

// churn writes bodies with one store, deletes most of them and reads the others
// with another store.
func churn(t *testing.T, s, other *Store, seed uint64) {
	for round := range uint64(4) {
		var list []blob.Body
		for i := range 4 {
			list = append(list, blobtest.Commit(t, s, blobtest.Bytes(20_000, seed*1000+round*10+uint64(i))))
		}
		blobtest.Record(t, fixture(s), list...)
		blobtest.Release(t, fixture(s), list[1:]...)
		for try := range uint64(2) {
			blobtest.Want(t, []*Store{s, other}[try], list[0].ID, blobtest.Bytes(20_000, seed*1000+round*10))
		}
	}
}

func TestCheckFindsOrphansAndMissing(t *testing.T) {
	t.Parallel()
	srv := server(t)
	s := mustOpen(t, options(t, srv))
	a, b := blobtest.Commit(t, s, blobtest.Bytes(5000, 1)), blobtest.Commit(t, s, blobtest.Bytes(3<<20, 2))
	blobtest.Record(t, fixture(s), a, b)
	stray := path(srv, s, mail.ID(77))
	if err := os.WriteFile(stray, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := s.lookup(t.Context(), b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path(srv, s, p.object)); err != nil {
		t.Fatal(err)
	}
	forget(s)
	want := []string{
		fmt.Sprintf("object %s: missing in the bucket, with 1 bodies", p.object),
		s.key(77) + ": the database does not list it",
	}
	if got := blobtest.Faults(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("faults %q, want %q", got, want)
	}
	if _, err := s.Open(t.Context(), b.ID); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("open a body whose object is missing: %v", err)
	}
	// One that is cut short is damaged, not merely away.
	q, err := s.lookup(t.Context(), a.ID)
	if err == nil {
		err = os.Truncate(path(srv, s, q.object), q.start+100)
	}
	if err != nil {
		t.Fatal(err)
	}
	forget(s)
	if _, err := s.Open(t.Context(), a.ID); !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("open a body whose object was cut: %v", err)
	}
	if got := blobtest.Faults(t, s); len(got) != 3 {
		t.Errorf("faults %q", got)
	}
}
