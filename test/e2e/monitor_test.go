package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/test/node"
)

// The threads of a server, and so the runtime's monitor among them, began with pauses
// that the kernel may put off.
func TestMonitorIsCalm(t *testing.T) {
	n := node.Start(t, node.Options{NoUsers: true})
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", n.Pid()))
	if err != nil || len(tasks) == 0 {
		t.Skipf("no list of threads: %v", err)
	}
	for _, task := range tasks {
		slack, err := os.ReadFile(filepath.Join("/proc", filepath.Base(task), "timerslack_ns"))
		if err != nil {
			t.Skipf("only the administrator may look: %v", err)
		}
		if got := strings.TrimSpace(string(slack)); got != "1000000" {
			t.Errorf("thread %s has a slack of %s ns, not of 1 ms", filepath.Base(task), got)
		}
	}
}
