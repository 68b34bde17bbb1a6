package timerslack

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUsual: what is started there has the usual slack, whatever we have.
func TestUsual(t *testing.T) {
	runtime.LockOSThread() // for good: the thread ends with this goroutine
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, wide, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	slackOf := func() string {
		out, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	var inside string
	if err := Usual(func() error { inside = slackOf(); return nil }); err != nil {
		t.Fatal(err)
	}
	if after := slackOf(); inside != "50000" || after != "1000000" {
		t.Errorf("a program has a slack of %s started inside, %s after it; want 50000, 1000000", inside, after)
	}
}
