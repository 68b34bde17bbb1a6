package sqlite

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedIsInTheFiles: whoever opens a copy of the files, as they are after a
// commit, has all that was committed, however much was gathered.
func TestCommittedIsInTheFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	d := open(t, Options{Path: path})
	sizes := []int{10, 3000, 100_000, walBuffer - 5000, walBuffer, 3 * walBuffer, 10, 1 << 20, 1}
	for i, size := range sizes {
		if err := d.Write(t.Context(), insert(int64(i), size)); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "test.db")
		for _, end := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + end)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(copied+end, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Open(t.Context(), Options{Path: copied})
		if err != nil {
			t.Fatalf("after %d octets: %v", size, err)
		}
		if n := rowCount(t, c); n != i+1 {
			t.Errorf("after %d octets: %d rows, want %d", size, n, i+1)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
