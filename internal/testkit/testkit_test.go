package testkit_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

// TestMain puts a small program in the place of the real binary, so that these
// tests need nothing but testkit.
func TestMain(m *testing.M) {
	os.Exit(withFakeServer(m))
}

func withFakeServer(m *testing.M) int {
	dir, err := os.MkdirTemp("", "testkit")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder that stays harms nobody
	path := filepath.Join(dir, "fakeserver")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/fakeserver").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("HAYAUMA_BIN", path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// verdict is a testing.TB that notes how a helper ends a test instead of
// ending this one.
type verdict struct {
	testing.TB
	text    string
	skipped bool
	failed  bool
}

func (v *verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) {
	v.skipped, v.text = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.failed, v.text = true, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Fatal(args ...any) { v.Fatalf("%s", fmt.Sprint(args...)) }

// judged runs a helper to its end, whichever way it ends.
func judged(t *testing.T, use func(testing.TB)) *verdict {
	t.Helper()
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		use(v)
	}()
	<-done
	return v
}

func TestEventually(t *testing.T) {
	t.Parallel()
	looks := 0
	testkit.Eventually(t, 5*time.Second, "the third look", func() bool { looks++; return looks == 3 })
	v := judged(t, func(tb testing.TB) {
		testkit.Eventually(tb, 20*time.Millisecond, "the impossible", func() bool { return false })
	})
	if !v.failed || v.text != "waited 20ms for the impossible" {
		t.Errorf("gave up with %q", v.text)
	}
}

func TestRequireSkipsOrFailsUnderCI(t *testing.T) {
	absent := func(tb testing.TB) { testkit.Require(tb, "no-such-program-anywhere") }
	t.Setenv("CI", "")
	if v := judged(t, absent); !v.skipped {
		t.Errorf("without CI: %+v", v)
	}
	t.Setenv("CI", "true")
	if v := judged(t, absent); !v.failed {
		t.Errorf("with CI=true: %+v", v)
	}
	if path := testkit.Require(t, "go"); !filepath.IsAbs(path) {
		t.Errorf("go found at %q", path)
	}
}

func TestRequireRoot(t *testing.T) {
	t.Setenv("CI", "")
	v := judged(t, func(tb testing.TB) { testkit.RequireRoot(tb) })
	if v.skipped != (os.Geteuid() != 0) {
		t.Errorf("skipped %v as uid %d", v.skipped, os.Geteuid())
	}
}
