package app

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/config"
)

func TestListenPrivately(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "hy") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// What a killed server left, at every step.
	if err := os.MkdirAll(filepath.Join(dir, ".control", "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "control.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := listenPrivately(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 || names[0].Name() != "control.sock" {
		t.Errorf("the folder holds %v, %v", names, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info, err)
	}
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A data_dir in which no socket can be made is told by check and by serve, with
// the one next to it that is just short enough.
func TestDataDirTooLongForTheSocket(t *testing.T) {
	t.Parallel()
	long := "/tmp/" + strings.Repeat("d", maxSocketPath-len("/tmp//control.sock"))
	if err := checkSocketPath(long); err != nil {
		t.Error(err)
	}
	if _, err := listenPrivately(t.Context(), long+"/control.sock"); err == nil || strings.Contains(err.Error(), "invalid argument") {
		t.Errorf("listen: %v", err) // there is no such folder, which is all
	}
	cfg := config.Default()
	cfg.DataDir = long + "d"
	_, checked := Check(t.Context(), cfg)
	for name, err := range map[string]error{
		"check": checked, "serve": Run(t.Context(), Options{Config: cfg}),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "data_dir: ") || !strings.Contains(err.Error(), "1 octets too long") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFaultsAreCountedOn(t *testing.T) {
	t.Parallel()
	var f faults
	if got := f.list(); got == nil || len(got) != 0 {
		t.Errorf("none are %#v", got)
	}
	for n := range MaxFaults {
		f.add(fmt.Sprint(n))
	}
	if got := f.list(); len(got) != MaxFaults || got[MaxFaults-1] != "999" {
		t.Errorf("%d, %q", len(got), got[len(got)-1])
	}
	for range 3 {
		f.add("x")
	}
	if got := f.list(); len(got) != MaxFaults+1 || got[MaxFaults] != "and 3 more" {
		t.Errorf("%d, %q", len(got), got[len(got)-1])
	}
}
