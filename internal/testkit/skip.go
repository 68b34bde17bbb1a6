package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Require returns the path of a program that the test drives. Where the program
// is absent the test is skipped, and with CI=true it fails: there everything
// has to run. Folders for system programs are searched even if PATH lacks them.
// program may be a path.
func Require(t testing.TB, program string) string {
	t.Helper()
	path, ok := lookProgram(program)
	if !ok {
		missing(t, "program %q is not installed (make test-setup installs it on Debian)", program)
	}
	return path
}

// RequireRoot skips (or with CI=true fails) a test that needs uid 0.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root, runs as uid %d", os.Geteuid())
	}
}

// RequireStrace returns the path of strace after it has traced a program here:
// a container without the right to ptrace has the program and cannot use it.
func RequireStrace(t testing.TB) string {
	t.Helper()
	path := Require(t, "strace")
	out, err := exec.CommandContext(t.Context(), path, "-f", "-o", os.DevNull, "true").CombinedOutput()
	if err != nil {
		missing(t, "strace cannot trace here: %v: %s", err, out)
	}
	return path
}

func lookProgram(program string) (string, bool) {
	if path, err := exec.LookPath(program); err == nil {
		return path, true
	}
	if filepath.Base(program) != program {
		return "", false
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/lib/dovecot"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, true
		}
	}
	return "", false
}

// missing ends the test: skipped on a developer's machine, failed where CI=true.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format+"; CI=true allows no skipped test", args...)
	}
	t.Skipf(format, args...)
}
