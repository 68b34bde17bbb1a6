package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/config"
)

const (
	source = "../../internal/config/config.go"
	folder = "../../docs/reference"
)

func TestGeneratedFilesAreFresh(t *testing.T) {
	t.Parallel()
	files, err := generate(source)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run go generate ./internal/config:\n%s", name, cmp.Diff(string(got), string(want)))
		}
	}
}

func TestRunWritesBothFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "reference")
	if err := run(source, dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
}

// The example must work as it stands, and with every comment mark before a key
// removed: then it is the defaults.
func TestExampleShowsTheDefaults(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(folder, "hayauma.toml.example"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Hostname = "mx1.example.test"
	bare := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAll(data, []byte("$1"))
	for name, text := range map[string][]byte{"as it stands": data, "uncommented": bare} {
		got, err := config.Parse("hayauma.toml.example", text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := config.Diff(want, got); diff.Restart != nil || diff.Reload != nil {
			t.Errorf("%s: differs from Default: %v", name, diff)
		}
		for _, s := range got.Settings() {
			if name == "uncommented" && s.Line == 0 {
				t.Errorf("the example lacks %s", s.Key)
			}
		}
	}
}

func TestReferenceShowsTheDefaults(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(folder, "config.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range config.Default().Settings() {
		_, after, found := strings.Cut(string(data), "### `"+s.Key+"`\n")
		if !found {
			t.Errorf("config.md lacks %s", s.Key)
			continue
		}
		text, _, _ := strings.Cut(after, "\n#")
		want := "Default: `" + s.Value + "`."
		if s.Key == "hostname" {
			want = "Required."
		}
		if !strings.Contains(text, want) {
			t.Errorf("config.md, %s: want %s in %q", s.Key, want, text)
		}
	}
}

func TestSourceFaultsAreTold(t *testing.T) {
	t.Parallel()
	one := []config.Setting{{Key: "a", Value: "1"}}
	cases := map[string]struct{ src, want string }{
		"no comment":  {"package p\ntype Config struct {\n A int `toml:\"a\"`\n}", "has no comment"},
		"no tag":      {"package p\ntype Config struct {\n // Text.\n A int\n}", "needs a toml tag"},
		"no setting":  {"package p\ntype Config struct {\n // Text.\n B int `toml:\"b\"`\n}", "is no setting"},
		"no field":    {"package p\ntype Config struct {\n}", "has no field"},
		"no struct":   {"package p", "no struct Config"},
		"no go":       {"nothing", "expected 'package'"},
		"in sections": {"package p\ntype Config struct {\n // Text.\n S S `toml:\"s\"`\n}\ntype S struct {\n A int `toml:\"a\"`\n}", "has no comment"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readSections([]byte(c.src), one)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
