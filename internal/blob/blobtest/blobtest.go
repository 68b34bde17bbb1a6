// Package blobtest is the contract that every body store must pass.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Options are what a test asks of the store that it opens.
type Options struct {
	Grace time.Duration // how old a body is before a sweep may delete it
}

// Fixture is a store under test.
type Fixture struct {
	Store blob.Store
	DB    db.DB // holds the store's tables and those of Schema
	// Damage changes one bit of a recorded body where it is stored; nil if the
	// test cannot reach it.
	Damage func(t testing.TB, b blob.Body)
}

// Opener returns an empty store that is closed when the test ends.
type Opener func(t testing.TB, o Options) Fixture

// Schema returns the table by which the suite refers to bodies.
func Schema() db.Schema {
	return db.Schema{Package: "blobtest", Steps: []db.Stmt{db.SQL(`
CREATE TABLE holder (
	id INTEGER PRIMARY KEY,
	body INTEGER NOT NULL REFERENCES body (id)
);
CREATE INDEX holder_body ON holder (body);
`)}}
}

// Refs returns the columns that Sweep and Check need in these tests.
func Refs() []blob.Reference { return []blob.Reference{{Table: "holder", Column: "body"}} }

// Run runs every test of the contract.
func Run(t *testing.T, open Opener) {
	tests := []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"a body of any size comes back as it was written", testSizes},
		{"many writers get their own bodies", testConcurrent},
		{"what is written so far can be read before Commit", testWriterReader},
		{"an aborted body leaves nothing", testAbort},
		{"a body is not found before it is recorded", testUnrecorded},
		{"a transaction that fails records nothing", testRollback},
		{"Commit ends when its context does", testContext},
		{"Sweep keeps what is referred to", testSweepReferences},
		{"Sweep keeps what is younger than the grace time", testSweepGrace},
		{"Sweep never takes a body that is just being recorded", testSweepConcurrent},
		{"Sweep refuses to run without references", testSweepNoReferences},
		{"Check finds a changed bit", testCheckDamage},
		{"Check finds a reference to no body", testCheckReference},
		{"a dropped body is gone", testDrop},
		{"a body keeps the id that it had elsewhere", testRestore},
		{"reads obey io.ReaderAt", testReaderAt},
		{"a closed store refuses", testClosed},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open)
		})
	}
}

// Bytes returns n octets that a seed determines.
func Bytes(n int, seed uint64) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	p := make([]byte, n)
	_, _ = r.Read(p) // never fails
	return p
}

// Commit writes a body, in pieces of odd length, and makes it durable.
func Commit(t testing.TB, s blob.Store, p []byte) blob.Body {
	t.Helper()
	b, err := commit(t.Context(), s, p)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return b
}

func commit(ctx context.Context, s blob.Store, p []byte) (blob.Body, error) {
	w := s.Create()
	defer w.Abort()
	size := int64(len(p))
	for step := 1; len(p) > 0; step = step*3 + 1 {
		n := min(step, len(p))
		if _, err := w.Write(p[:n]); err != nil {
			return blob.Body{}, err
		}
		p = p[n:]
	}
	if w.Size() != size {
		return blob.Body{}, fmt.Errorf("size is %d after %d octets", w.Size(), size)
	}
	b, err := w.Commit(ctx, blob.Meta{Message: 1, Tenant: 2, Account: 3, Mailbox: 4, Time: 5})
	if err == nil && (b.Size != size || b.ID <= 0) {
		err = fmt.Errorf("committed body %d has size %d, want %d", b.ID, b.Size, size)
	}
	return b, err
}

// Record records bodies with one holder each; the holder's id is the body's.
func Record(t testing.TB, f Fixture, bodies ...blob.Body) {
	t.Helper()
	if err := record(t.Context(), f, bodies...); err != nil {
		t.Fatalf("record: %v", err)
	}
}

func record(ctx context.Context, f Fixture, bodies ...blob.Body) error {
	return f.DB.Write(ctx, func(tx *db.Tx) error {
		if err := f.Store.Record(tx, bodies...); err != nil {
			return err
		}
		for _, b := range bodies {
			if _, err := tx.Exec(db.SQL("INSERT INTO holder (id, body) VALUES (?, ?)"), int64(b.ID), int64(b.ID)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Release deletes the holders of bodies.
func Release(t testing.TB, f Fixture, bodies ...blob.Body) {
	t.Helper()
	err := f.DB.Write(t.Context(), func(tx *db.Tx) error {
		for _, b := range bodies {
			if _, err := tx.Exec(db.SQL("DELETE FROM holder WHERE body = ?"), int64(b.ID)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("release: %v", err)
	}
}

// Want fails the test unless the store gives these octets for a body.
func Want(t testing.TB, s blob.Store, id mail.ID, want []byte) {
	t.Helper()
	got, err := read(t.Context(), s, id)
	if err != nil {
		t.Fatalf("read body %s: %v", id, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("body %s: %d octets differ from the %d written", id, len(got), len(want))
	}
}

// WantMissing fails the test unless there is no such body.
func WantMissing(t testing.TB, s blob.Store, id mail.ID) {
	t.Helper()
	if _, err := read(t.Context(), s, id); !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("read body %s: %v, want ErrNotFound", id, err)
	}
}

func read(ctx context.Context, s blob.Store, id mail.ID) (_ []byte, err error) {
	r, err := s.Open(ctx, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

// Faults returns what Check reports.
func Faults(t testing.TB, s blob.Store) []string {
	t.Helper()
	var faults []string
	if err := s.Check(t.Context(), Refs(), func(f string) { faults = append(faults, f) }); err != nil {
		t.Fatalf("check: %v", err)
	}
	return faults
}

// sizes are those at which stores change their ways.
func sizes() []int {
	return []int{0, 1, 5 << 10, 8 << 10, 8<<10 + 1, 64 << 10, 64<<10 + 1, blob.InMemory - 1, blob.InMemory, blob.InMemory + 1, 20 << 20}
}

func testSizes(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	var bodies []blob.Body
	for i, n := range sizes() {
		bodies = append(bodies, Commit(t, f.Store, Bytes(n, uint64(i))))
	}
	Record(t, f, bodies...)
	for i, n := range sizes() {
		Want(t, f.Store, bodies[i].ID, Bytes(n, uint64(i)))
	}
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
	WantMissing(t, f.Store, bodies[len(bodies)-1].ID+1000)
}

func testConcurrent(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	const writers, each = 16, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				p := Bytes(1+(w*each+i)*997, uint64(w*each+i))
				b, err := commit(t.Context(), f.Store, p)
				if err == nil {
					err = record(t.Context(), f, b)
				}
				var got []byte
				if err == nil {
					got, err = read(t.Context(), f.Store, b.ID)
				}
				if err != nil || !bytes.Equal(got, p) {
					t.Errorf("writer %d body %d: %d octets of %d, %v", w, i, len(got), len(p), err)
				}
			}
		})
	}
	wg.Wait()
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
}

func testWriterReader(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for i, n := range sizes() {
		if n == blob.InMemory-1 || n == blob.InMemory {
			continue // iotest reads octet by octet
		}
		n = min(n, blob.InMemory+blob.InMemory/8+77)
		p := Bytes(n, uint64(i))
		w := f.Store.Create()
		for _, part := range [][]byte{p[:n/3], p[n/3:]} {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		r, err := w.Reader()
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(struct{ io.Reader }{r}, p); err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
		b, err := w.Commit(t.Context(), blob.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		w.Abort()
		Record(t, f, b)
		Want(t, f.Store, b.ID, p)
	}
}

func testAbort(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for _, n := range []int{0, 10, 70 << 10, 2 << 20} {
		w := f.Store.Create()
		if _, err := w.Write(Bytes(n, 1)); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		w.Abort()
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("Write after Abort succeeds")
		}
		if _, err := w.Commit(t.Context(), blob.Meta{}); err == nil {
			t.Error("Commit after Abort succeeds")
		}
	}
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
}

func testUnrecorded(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for _, n := range []int{100, 2 << 20} {
		b := Commit(t, f.Store, Bytes(n, 1))
		WantMissing(t, f.Store, b.ID)
	}
}

func testRollback(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	b := Commit(t, f.Store, Bytes(100, 1))
	fail := errors.New("on purpose")
	err := f.DB.Write(t.Context(), func(tx *db.Tx) error {
		if err := f.Store.Record(tx, b); err != nil {
			return err
		}
		return fail
	})
	if !errors.Is(err, fail) {
		t.Fatalf("write: %v", err)
	}
	WantMissing(t, f.Store, b.ID)
	Record(t, f, b)
	Want(t, f.Store, b.ID, Bytes(100, 1))
}

func testContext(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		b, err := commit(ctx, f.Store, Bytes(100, 1))
		if err == nil {
			Record(t, f, b) // it was faster
			Want(t, f.Store, b.ID, Bytes(100, 1))
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("commit: %v", err)
		}
	}
	b := Commit(t, f.Store, Bytes(100, 2))
	Record(t, f, b)
	Want(t, f.Store, b.ID, Bytes(100, 2))
}

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

func testCheckDamage(t *testing.T, open Opener) {
	for _, n := range []int{1, 5000, 300 << 10, 3 << 20} {
		f := open(t, Options{Grace: time.Hour})
		if f.Damage == nil {
			t.Skip("this store's bytes cannot be reached")
		}
		b := Commit(t, f.Store, Bytes(n, 1))
		other := Commit(t, f.Store, Bytes(n, 2))
		Record(t, f, b, other)
		f.Damage(t, b)
		if faults := Faults(t, f.Store); len(faults) != 1 {
			t.Errorf("size %d: faults %q, want one", n, faults)
		}
		if _, err := read(t.Context(), f.Store, b.ID); !errors.Is(err, blob.ErrCorrupt) {
			t.Errorf("size %d: read gives %v, want ErrCorrupt", n, err)
		}
		Want(t, f.Store, other.ID, Bytes(n, 2))
	}
}

func testCheckReference(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	b := Commit(t, f.Store, Bytes(100, 1))
	Record(t, f, b)
	if faults := Faults(t, f.Store); len(faults) != 0 {
		t.Fatalf("faults %q, want none", faults)
	}
	// A table without foreign keys, as a damaged database would have it.
	err := f.DB.Write(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.Exec(db.SQL("CREATE TABLE stray (body BIGINT NOT NULL)")); err != nil {
			return err
		}
		_, err := tx.Exec(db.SQL("INSERT INTO stray (body) VALUES (?)"), int64(b.ID)+1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	refs := append(Refs(), blob.Reference{Table: "stray", Column: "body"})
	if err := f.Store.Check(t.Context(), refs, func(s string) { faults = append(faults, s) }); err != nil {
		t.Fatal(err)
	}
	if len(faults) != 1 {
		t.Errorf("faults %q, want one", faults)
	}
}

func testReaderAt(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for _, n := range []int{0, 1, 1000, 200_001, 1<<20 + 65537} {
		p := Bytes(n, uint64(n))
		b := Commit(t, f.Store, p)
		Record(t, f, b)
		r, err := f.Store.Open(t.Context(), b.ID)
		if err != nil {
			t.Fatal(err)
		}
		if r.Size() != int64(n) {
			t.Errorf("Size %d, want %d", r.Size(), n)
		}
		testOffsets(t, r, p)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { testOffsets(t, r, p) })
		}
		wg.Wait()
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := r.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("ReadAt after Close succeeds")
		}
	}
}

func testOffsets(t *testing.T, r io.ReaderAt, p []byte) {
	n := len(p)
	for _, off := range []int{0, 1, 7, n / 2, 65535, 65536, 65537, n - 1, n, n + 1} {
		for _, length := range []int{0, 1, 3, 70_000, n} {
			if off < 0 {
				continue
			}
			got := make([]byte, length)
			k, err := r.ReadAt(got, int64(off))
			want := p[min(off, n):min(off+length, n)]
			if !bytes.Equal(got[:k], want) {
				t.Errorf("ReadAt(%d octets, %d of %d) gives %d wrong octets", length, off, n, k)
			}
			if k < length && err != io.EOF || k == length && err != nil && err != io.EOF {
				t.Errorf("ReadAt(%d octets, %d of %d) gives %d, %v", length, off, n, k, err)
			}
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt with a negative offset succeeds")
	}
}

func testClosed(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	if err := f.Store.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := f.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Store.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := commit(t.Context(), f.Store, []byte("x")); err == nil {
		t.Error("Commit after Close succeeds")
	}
	if f.Store.Health() == nil {
		t.Error("a closed store is healthy")
	}
}

func testDrop(t *testing.T, open Opener) {
	f := open(t, Options{})
	for i, size := range []int{5000, blob.InMemory + 5000} {
		b := Commit(t, f.Store, Bytes(size, uint64(i)))
		f.Store.Drop(b)
		err := f.DB.Write(t.Context(), func(tx *db.Tx) error { return f.Store.Record(tx, b) })
		if err == nil {
			t.Errorf("a dropped body of %d octets was recorded", size)
		}
		if _, err := f.Store.Open(t.Context(), b.ID); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("open a dropped body: %v", err)
		}
		f.Store.Drop(b) // once more does no harm
	}
}

func testRestore(t *testing.T, open Opener) {
	f := open(t, Options{})
	var left blob.Body // of the last one, which is large
	for i, size := range []int{0, 5000, 3*blob.InMemory + 7} {
		id, want := mail.ID(1000+i), Bytes(size, uint64(i))
		w := f.Store.Restore(id)
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		b, err := w.Commit(t.Context(), blob.Meta{})
		if err != nil || b.ID != id {
			t.Fatalf("commit: body %d, %v", b.ID, err)
		}
		if left = b; i%2 == 1 {
			Record(t, f, b)
			Want(t, f.Store, b.ID, want)
		}
	}
	// What was not recorded can be restored again, as a move that was cut off does.
	for i, size := range []int{0, 3*blob.InMemory + 7} {
		id, want := mail.ID(1000+2*i), Bytes(size, uint64(10+i))
		if i == 1 {
			f.Store.Drop(left)
		}
		w := f.Store.Restore(id)
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		b, err := w.Commit(t.Context(), blob.Meta{})
		if err != nil {
			t.Fatalf("restored again: %v", err)
		}
		Record(t, f, b)
		Want(t, f.Store, b.ID, want)
	}
}
