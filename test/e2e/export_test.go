package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// TestExportOntoAFullDisk: a file that cannot be written whole is none, and the
// command says that it failed; what the server holds stays there.
func TestExportOntoAFullDisk(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{Queue: "hold = true"})
	n.Run("Subject: large\n\n"+strings.Repeat("0123456789012345678901234567890123456789\n", 3000), "send", "-f", "alice@a.test", "x@b.test")
	folder := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), node.Patience)
	defer cancel()
	// No file may have more than 64 blocks: the rest of the writes fail, as on a full disk.
	cmd := exec.CommandContext(ctx, "sh", "-c", `ulimit -f 64 && exec "$@"`, "sh",
		testkit.Binary(t), "queue", "export", "--all", "--to", folder, "--config", n.ConfigFile)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "hayauma: exported only 0 messages") {
		t.Errorf("the command ends with %v and says %s", err, out)
	}
	list, err := os.ReadDir(folder)
	if err != nil || len(list) != 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	n.WaitQueue("held")
	n.Run("", "queue", "export", "--all", "--to", folder)
	if list, err := os.ReadDir(folder); err != nil || len(list) != 2 {
		t.Errorf("written: %v, %v", list, err)
	}
}
