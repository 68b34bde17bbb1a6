package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

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
