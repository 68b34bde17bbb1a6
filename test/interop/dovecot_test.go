package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// dovecotConf is a mail store whose users stand in a file.
const dovecotConf = `protocols = lmtp
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
ssl = no
mail_location = maildir:~/Maildir
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = passwd-file
  args = username_format=%%n %[1]s/users
}
service lmtp {
  unix_listener %[1]s/lmtp {
    mode = 0666
  }
}
`

// TestDovecotTakesMailByLMTP: over its socket; who is not there is refused alone.
func TestDovecotTakesMailByLMTP(t *testing.T) {
	t.Parallel()
	dovecot := testkit.Require(t, "dovecot")
	testkit.Require(t, "/usr/lib/dovecot/lmtp")
	if os.Geteuid() != 0 {
		t.Skip("Dovecot needs root")
	}
	dir, err := os.MkdirTemp("", "hm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // it is only left over
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(write(t, dir, "users", fmt.Sprintf("carol::65534:65534::%s/carol::\n", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "carol"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "carol"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	conf := write(t, dir, "dovecot.conf", fmt.Sprintf(dovecotConf, dir))
	cmd := exec.CommandContext(t.Context(), dovecot, "-F", "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()
		if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("its log:\n%s", log)
		}
	})
	socket := filepath.Join(dir, "lmtp")
	testkit.Eventually(t, node.Patience, "Dovecot's socket", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	n := node.Start(t, node.Options{})
	n.Run("", "route", "set", "store", "--kind", "lmtp", "--host", "unix:"+socket)
	n.Run("", "route", "rule", "set", "--recipient", "store.test", "--to", "store")
	id := n.Submit("for Dovecot", "carol@store.test", "nobody@store.test")
	n.WaitQueue("")
	story := n.Trace(id)
	for _, part := range []string{"delivered carol@store.test", "failed nobody@store.test"} {
		if !strings.Contains(story, part) {
			t.Errorf("no %q in\n%s", part, story)
		}
	}
	stored, err := filepath.Glob(filepath.Join(dir, "carol", "Maildir", "new", "*"))
	if err != nil || len(stored) != 1 {
		t.Fatalf("stored: %v, %v", stored, err)
	}
	text, err := os.ReadFile(stored[0])
	if err != nil || !strings.Contains(string(text), "Subject: for Dovecot") {
		t.Errorf("%v\n%s", err, text)
	}
}
