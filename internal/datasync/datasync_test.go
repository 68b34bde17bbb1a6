package datasync_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/hayauma/hayauma/internal/datasync"
)

// Goroutines that sync, and those that collect garbage and grow their stacks beside
// them, go on.
func TestDatasync(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 50 {
				if _, err := f.WriteAt([]byte("octets"), int64(i)); err != nil {
					t.Error(err)
				}
				if err := datasync.Datasync(int(f.Fd())); err != nil {
					t.Error(err)
				}
				deep(100)
			}
		})
	}
	all.Go(func() {
		for range 20 {
			runtime.GC()
		}
	})
	all.Wait()
}

func deep(n int) int {
	var room [256]byte
	if n == 0 {
		return int(room[0])
	}
	return deep(n-1) + int(room[n])
}

func TestErrors(t *testing.T) {
	if err := datasync.Datasync(-1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a file that is not open: %v, want %v", err, syscall.EBADF)
	}
}
