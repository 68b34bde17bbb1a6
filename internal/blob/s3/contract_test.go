package s3

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
)

func newDB(t testing.TB) db.DB { return dbtest.New(t, Schema(), blobtest.Schema()) }

// options are those of a store in a prefix of its own, impatient as tests are.
func options(t testing.TB, srv *testkit.S3) Options {
	return Options{
		Location:  Location{Bucket: srv.Bucket, Prefix: "t" + strings.ToLower(rand.Text()), Endpoint: srv.Endpoint, Region: srv.Region},
		AccessKey: srv.AccessKey, SecretKey: srv.SecretKey, DB: newDB(t), IDs: mail.NewIDs(1, 0), Spool: t.TempDir(),
		PartSize: 6 << 20, Timeout: 20 * time.Second,
	}
}

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

// path is the file that the server keeps an object in.
func path(srv *testkit.S3, s *Store, object mail.ID) string {
	return filepath.Join(srv.Dir, filepath.FromSlash(s.key(object)))
}

func flip(t testing.TB, name string, at int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// forget empties the caches of a store, as a restart does.
func forget(s *Store) {
	s.cache.mu.Lock()
	s.cache.init(s.cache.size)
	s.cache.mu.Unlock()
	s.places.Clear()
}

// TestContract has no cache that would hide what the service gives.
func TestContract(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t testing.TB, o blobtest.Options) blobtest.Fixture {
		srv := server(t)
		opt := options(t, srv)
		opt.Grace, opt.CacheSize = o.Grace, 1
		s := mustOpen(t, opt)
		return blobtest.Fixture{Store: s, DB: opt.DB, Damage: func(t testing.TB, b blob.Body) {
			p, err := s.lookup(t.Context(), b.ID)
			if err != nil {
				t.Fatal(err)
			}
			flip(t, path(srv, s, p.object), p.start+p.size/2)
			forget(s)
		}}
	})
}
