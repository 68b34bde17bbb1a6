package blobtest

import (
	"errors"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

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
