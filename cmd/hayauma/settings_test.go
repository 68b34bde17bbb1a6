package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A data_dir that is wrong or not mounted is no sound, empty installation: nothing is made
// there but by what sets one up.
func TestNoInstallation(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	data := filepath.Join(filepath.Dir(s.config), "data")
	want := "there is no installation in " + data + ": is it mounted, is data_dir right?"
	for _, args := range []string{
		"domain list", "account list", "queue list", "queue delete --all", "trace x@y.test", "check --deep", "account remove a@one.test",
		"outbound list", "storage migrate --dry-run", "queue export --all --to " + t.TempDir(), "storage copy --to " + newShell(t, "").config,
	} {
		got := s.try("", strings.Fields(args)...)
		if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", args, got.code, got.stdout, got.stderr)
		}
	}
	if got := s.try("Subject: x\n\nbody\n", "send", "x@y.test"); got.code != exitLater || !strings.Contains(got.stderr, want) {
		t.Errorf("send: exit %d, stderr %q", got.code, got.stderr)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("something was made there: %v", err)
	}
	s.do("", "check")
	for _, args := range []string{"domain add one.test", "route set r --host h.test", "policy add p --action tag --tag t --door smtp", "queue schedule set stream:main --lifetime 3d"} {
		s := newShell(t, "")
		s.do("", strings.Fields(args)...)
		if got := s.do("", "queue", "list", "--json"); got != "[]\n" {
			t.Errorf("after %s: %s", args, got)
		}
	}
}
