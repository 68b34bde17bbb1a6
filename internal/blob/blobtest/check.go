package blobtest

import (
	"errors"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
)

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
