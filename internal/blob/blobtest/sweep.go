package blobtest

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
)

func sweep(t testing.TB, f Fixture) blob.Swept {
	t.Helper()
	done, err := f.Store.Sweep(t.Context(), Refs())
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	return done
}

func testSweepReferences(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Microsecond})
	var bodies []blob.Body
	for i := range 20 {
		bodies = append(bodies, Commit(t, f.Store, Bytes(i*1000, uint64(i))))
	}
	bodies = append(bodies, Commit(t, f.Store, Bytes(2<<20, 20)))
	Record(t, f, bodies...)
	if done := sweep(t, f); done.Bodies != 0 {
		t.Fatalf("swept %+v while all are referred to", done)
	}
	var freed, kept []int
	for i := range bodies {
		if i%3 == 2 {
			freed = append(freed, i)
			Release(t, f, bodies[i])
		} else {
			kept = append(kept, i)
		}
	}
	if done := sweep(t, f); done.Bodies != len(freed) {
		t.Fatalf("swept %+v, want %d bodies", done, len(freed))
	}
	for _, i := range freed {
		WantMissing(t, f.Store, bodies[i].ID)
	}
	for _, i := range kept {
		n := i * 1000
		if i == 20 {
			n = 2 << 20
		}
		Want(t, f.Store, bodies[i].ID, Bytes(n, uint64(i)))
	}
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
}

func testSweepGrace(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	b := Commit(t, f.Store, Bytes(100, 1))
	Record(t, f, b)
	Release(t, f, b)
	if done := sweep(t, f); done.Bodies != 0 {
		t.Fatalf("swept %+v within the grace time", done)
	}
	Want(t, f.Store, b.ID, Bytes(100, 1))
}

func testSweepConcurrent(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Microsecond})
	stop := make(chan struct{})
	var sweeper, wg sync.WaitGroup
	sweeper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := f.Store.Sweep(t.Context(), Refs()); err != nil {
				t.Errorf("sweep: %v", err)
				return
			}
		}
	})
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				p := Bytes(1000*i, uint64(w*100+i))
				b, err := commit(t.Context(), f.Store, p)
				if err == nil {
					err = record(t.Context(), f, b)
				}
				var got []byte
				if err == nil {
					got, err = read(t.Context(), f.Store, b.ID)
				}
				if err != nil || !bytes.Equal(got, p) {
					t.Errorf("writer %d body %d: %v", w, i, err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	sweeper.Wait()
}

func testSweepNoReferences(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Microsecond})
	b := Commit(t, f.Store, Bytes(100, 1))
	Record(t, f, b)
	if _, err := f.Store.Sweep(t.Context(), nil); err == nil {
		t.Error("a sweep that would delete everything runs")
	}
	if _, err := f.Store.Sweep(t.Context(), []blob.Reference{{Table: "holder; DROP TABLE body", Column: "body"}}); err == nil {
		t.Error("a sweep takes SQL as a table's name")
	}
	Want(t, f.Store, b.ID, Bytes(100, 1))
}
