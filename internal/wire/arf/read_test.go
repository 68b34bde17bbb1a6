package arf_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/wire/arf"
)

var rewrite = flag.Bool("rewrite", false, "write the .want files of testdata")

func complaints(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no complaints: %v", err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(path, ".eml")] = b
	}
	return out
}

func read(t testing.TB, b []byte) *arf.Report {
	t.Helper()
	r, err := arf.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRead(t *testing.T) {
	t.Parallel()
	for path, msg := range complaints(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r := read(t, msg)
			var original string
			if r != nil {
				original = string(r.Original)
				r.Original = nil
			}
			b, err := json.MarshalIndent(r, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			got := string(b) + "\n" + original
			if *rewrite {
				if err := os.WriteFile(path+".want", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestComplains(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"abuse": true, "FRAUD": true, "virus": true, "other": true, "not-spam": false, "auth-failure": false, "x": false} {
		msg := bytes.ReplaceAll(complaints(t)["testdata/rfc5965-simple"], []byte("Feedback-Type: abuse"), []byte("Feedback-Type: "+kind))
		if r := read(t, msg); r == nil || r.Complains() != want {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, msg := range complaints(f) {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		r := read(t, msg)
		if r == nil {
			return
		}
		if r.Type == "" || r.Incidents < 1 || len(r.RcptTo) > 100 || len(r.Domains) > 100 || len(r.Original) > 64<<10 {
			t.Fatalf("%+v", r)
		}
	})
}
