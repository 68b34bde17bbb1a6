package pack

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestCloseUnlocks: a store that was closed can be opened, whoever has got a copy of
// its descriptors meanwhile, as a program has that is being started.
func TestCloseUnlocks(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	s := mustOpen(t, opt)
	h, ok := s.lock.(held)
	if !ok {
		t.Fatalf("a lock of type %T", s.lock)
	}
	copied, err := syscall.Dup(int(h.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.NewFile(uintptr(copied), "copy").Close() }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, opt)
}
