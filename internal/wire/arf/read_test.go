package arf_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/arf"
)

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
	for path, msg := range testkit.Fixtures(t) {
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
			testkit.Want(t, path, string(b)+"\n"+original)
		})
	}
}

func TestComplains(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"abuse": true, "FRAUD": true, "virus": true, "other": true, "not-spam": false, "auth-failure": false, "x": false} {
		msg := bytes.ReplaceAll(testkit.Fixtures(t)["testdata/rfc5965-simple"], []byte("Feedback-Type: abuse"), []byte("Feedback-Type: "+kind))
		if r := read(t, msg); r == nil || r.Complains() != want {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, msg := range testkit.Fixtures(f) {
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
