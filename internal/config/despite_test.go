package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDespite(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text string
		ok   bool
	}{
		{"data_dir = \"d\"\n", true},
		{"data_dir = \"d\"\n[limits]\nrecipents = 5\n", true},
		{"data_dir = \"d\"\n[queue]\nlifetime = \"x\"\n[nope]\na = 1\n", true},
		{"data_dir = \"d\"\n[tls]\ncert_file = \"none.pem\"\n", true},
		{"data_dri = \"d\"\n", false},
		{"data_dir = 5\n", false},
		{"data_dir = \"d\"\nlimits\n", false},
	} {
		path := filepath.Join(t.TempDir(), "hayauma.toml")
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Despite(path, "data_dir")
		if (err == nil) != row.ok || err == nil && c.DataDir != filepath.Join(filepath.Dir(path), "d") {
			t.Errorf("%q: %+v, %v", row.text, c, err)
		}
	}
	if _, err := Despite(filepath.Join(t.TempDir(), "none"), "data_dir"); err == nil {
		t.Error("a file that is not there")
	}
}
