package sqlite

import (
	"path/filepath"
	"testing"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// TestPagesComeFromOnePiece: what a connection caches is in the memory set aside: a
// page fits into a place there.
func TestPagesComeFromOnePiece(t *testing.T) {
	t.Parallel()
	d := open(t, Options{Path: filepath.Join(t.TempDir(), "test.db")})
	if err := d.Write(t.Context(), insert(1, 100_000)); err != nil {
		t.Fatal(err)
	}
	tls := libc.NewTLS()
	defer tls.Close()
	out := alloc(tls, 8)
	defer release(tls, out)
	if rc := lib.Xsqlite3_status(tls, lib.SQLITE_STATUS_PAGECACHE_USED, out, out+4, 0); rc != lib.SQLITE_OK {
		t.Fatal(rc)
	}
	if used := *(*int32)(at(out)); used < 100_000/(pageKiB<<10) {
		t.Errorf("%d pages are in it", used)
	}
}
