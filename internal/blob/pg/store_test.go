package pg

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t testing.TB, o blobtest.Options) blobtest.Fixture {
		d := dbtest.New(t, Schema(), blobtest.Schema())
		s := Open(Options{DB: d, IDs: mail.NewIDs(1, 0), Grace: o.Grace})
		t.Cleanup(func() { _ = s.Close() })
		return blobtest.Fixture{Store: s, DB: d, Damage: func(t testing.TB, b blob.Body) {
			err := d.Write(t.Context(), func(tx *db.Tx) error {
				var octets []byte
				last := (b.Size - 1) / partLen
				at := []any{int64(b.ID), last}
				if err := tx.Row(db.SQL("SELECT bytes FROM body_part WHERE body = ? AND number = ?"), at, &octets); err != nil {
					return err
				}
				octets[len(octets)/2] ^= 1
				_, err := tx.Exec(db.SQL("UPDATE body_part SET bytes = ? WHERE body = ? AND number = ?"), octets, at[0], at[1])
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}}
	})
}

// budget counts what is held.
type budget struct{ held int }

func (b *budget) Take(n int) error { b.held += n; return nil }
func (b *budget) Give(n int)       { b.held -= n }

func TestMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, Schema(), blobtest.Schema())
	m := &budget{}
	s := Open(Options{DB: d, IDs: mail.NewIDs(1, 0), Memory: m})
	f := blobtest.Fixture{Store: s, DB: d}
	for _, size := range []int{0, 100, 5000, blob.InMemory, blob.InMemory + 1, 5 * blob.InMemory} {
		b := blobtest.Commit(t, s, blobtest.Bytes(size, 1))
		if size > blob.InMemory && m.held != 0 {
			t.Errorf("a committed body of %d octets holds %d in memory", size, m.held)
		}
		blobtest.Record(t, f, b)
		if m.held != 0 {
			t.Errorf("a recorded body of %d octets holds %d in memory", size, m.held)
		}
		s.Drop(blobtest.Commit(t, s, blobtest.Bytes(size, 2)))
		if m.held != 0 {
			t.Errorf("a dropped body of %d octets holds %d in memory", size, m.held)
		}
		w := s.Create()
		if _, err := w.Write(blobtest.Bytes(size, 3)); err != nil {
			t.Fatal(err)
		}
		if most := blob.InMemory + partLen; m.held > most {
			t.Errorf("a body of %d octets holds %d in memory while it is written", size, m.held)
		}
		w.Abort()
		if m.held != 0 {
			t.Errorf("an aborted body of %d octets holds %d in memory", size, m.held)
		}
	}
}

// TestTheNextProcessSweeps: what a process wrote and never recorded goes with
// the first sweep of the next.
func TestTheNextProcessSweeps(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, Schema(), blobtest.Schema())
	ids := mail.NewIDs(1, 0)
	s := Open(Options{DB: d, IDs: ids})
	b := blobtest.Commit(t, s, blobtest.Bytes(2*blob.InMemory, 1))
	if swept, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil || swept.Bodies != 0 {
		t.Fatalf("a body that waits for its record was swept: %v, %v", swept, err)
	}
	next := Open(Options{DB: d, IDs: ids})
	if swept, err := next.Sweep(t.Context(), blobtest.Refs()); err != nil || swept.Bodies != 1 {
		t.Errorf("swept %v, %v", swept, err)
	}
	err := d.Write(t.Context(), func(tx *db.Tx) error { return s.Record(tx, b) })
	if err == nil {
		t.Error("a body that was swept was recorded")
	}
}
