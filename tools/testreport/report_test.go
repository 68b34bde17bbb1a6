package main

import (
	"context"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	t.Parallel()
	const (
		pass  = `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
		skip  = `{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:5: no swaks\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestB"}` + "\n"
		fail  = `{"Action":"output","Package":"p","Test":"TestC","Output":"why\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestC"}` + "\n"
		crash = `{"Action":"output","Package":"p","Test":"TestD","Output":"panic: x\n"}` + "\n"
		good  = `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
		bad   = `{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
		build = `{"ImportPath":"q","Action":"build-output","Output":"q.go:1: syntax\n"}` + "\n" + `{"ImportPath":"q","Action":"build-fail"}` + "\n"
	)
	for _, row := range []struct {
		name, events string
		noSkip, ok   bool
		want         []string
	}{
		{"all pass", pass + good, true, true, []string{"ok  \tp\t0.1s\n", "1 passed, 0 failed, 0 skipped\n"}},
		{"skip allowed", pass + skip + good, false, true, []string{"SKIP p TestB: b_test.go:5: no swaks\n", "1 passed, 0 failed, 1 skipped\n"}},
		{"skip not allowed", pass + skip + good, true, false, []string{"not allowed"}},
		{"failure", pass + fail + bad, false, false, []string{"why\n", "FAIL\tp", "FAILED p TestC\n", "1 passed, 1 failed"}},
		{"panic", crash + bad, false, false, []string{"panic: x\n", "TestD (did not end)"}},
		{"build failure", pass + good + build, false, false, []string{"q.go:1: syntax\n"}},
		{"nothing", "", false, false, []string{"no test ran", "0 passed, 0 failed, 0 skipped\n"}},
		{"other text", "go: warning\n" + pass + good, false, true, []string{"go: warning\n"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			r := newReport(&out)
			if err := r.read(strings.NewReader(row.events)); err != nil {
				t.Fatal(err)
			}
			if ok := r.finish(row.noSkip); ok != row.ok {
				t.Errorf("ok %v\n%s", ok, out.String())
			}
			for _, want := range row.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}

func TestRunTellsOfTheCommand(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if code := run(context.Background(), &out, []string{"sh", "-c", `echo '{"Action":"pass","Package":"p","Test":"T"}'; exit 3`}, false); code != 1 {
		t.Errorf("code %d for a command that failed\n%s", code, out.String())
	}
	if code := run(context.Background(), &out, []string{"sh", "-c", `echo '{"Action":"pass","Package":"p","Test":"T"}'`}, false); code != 0 {
		t.Errorf("code %d for a command that passed\n%s", code, out.String())
	}
}
