package pack

import (
	"os"
	"path/filepath"
	"testing"
)

// flip changes one bit of a file.
func flip(t testing.TB, name string, at int64) {
	t.Helper()
	patch(t, name, at, func(b byte) byte { return b ^ 4 })
}

func patch(t testing.TB, name string, at int64, change func(byte) byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] = change(b[0])
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// copyDir copies a folder as it is now.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}
