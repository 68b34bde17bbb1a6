package pack

import (
	"path/filepath"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
)

// small returns options under which a test soon comes to the end of things.
func small(dir string, d db.DB) Options {
	return Options{
		Dir: dir, DB: d, IDs: mail.NewIDs(1, 0), MinFree: -1,
		Prealloc: 64 << 10, PackSize: 256 << 10,
	}
}

func newDB(t testing.TB) db.DB { return dbtest.New(t, Schema(), blobtest.Schema()) }

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"with small packs": 256 << 10, "with one pack": 64 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobtest.Run(t, func(t testing.TB, o blobtest.Options) blobtest.Fixture {
				opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
				opt.Grace, opt.PackSize = o.Grace, size
				s := mustOpen(t, opt)
				return blobtest.Fixture{Store: s, DB: opt.DB, Damage: func(t testing.TB, b blob.Body) {
					p, err := parsePlace(b.Place, b.Size)
					if err != nil {
						t.Fatal(err)
					}
					name, at := packName(p.pack), p.start+entryLen+b.Size/2
					if p.pack == 0 {
						name, at = largeName(b.ID), blockStart(1)+5
					}
					flip(t, filepath.Join(opt.Dir, name), at)
				}}
			})
		})
	}
}
