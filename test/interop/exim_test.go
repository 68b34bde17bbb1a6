package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// Exim that takes mail for p.test and hands it to the next host at once.
const eximConf = `exim_user = postfix
exim_group = postfix
exim_path = %[5]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/%%slog
pid_file_path = %[1]s/pid
primary_hostname = mx.exim.test
daemon_smtp_ports = %[2]s
local_interfaces = 127.0.0.1
acl_smtp_rcpt = all
acl_smtp_data = all
queue_only = false
tls_advertise_hosts =
keep_environment =
begin acl
all:
  accept
begin routers
far:
  driver = manualroute
  domains = p.test
  transport = next
  route_list = * 127.0.0.1
  self = send
back:
  driver = manualroute
  domains = a.test
  transport = home
  route_list = * 127.0.0.1
  self = send
begin transports
next:
  driver = smtp
  protocol = lmtp
  port = %[3]s
  hosts_avoid_tls = *
home:
  driver = smtp
  port = %[4]s
  hosts_avoid_tls = *
begin retry
* * F,1h,1m
`

// startExim runs a daemon until the test ends.
func startExim(t *testing.T, program, addr string, n *node.Node) {
	t.Helper()
	dir, err := os.MkdirTemp("", "exim") // its own user must be able to enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the test is over either way
	for _, d := range []string{dir, filepath.Join(dir, "spool")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		chown(t, "postfix", d)
	}
	conf := filepath.Join(dir, "exim.conf")
	text := fmt.Sprintf(eximConf, dir, node.PortOf(addr), node.PortOf(n.LMTP), node.PortOf(n.SMTP), program)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	daemon := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-C", conf, "-bdf", "-q1s")
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	daemon.WaitDelay = 5 * time.Second
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-daemon.Process.Pid, syscall.SIGTERM) // it may have ended
		_ = daemon.Wait()                                      // ended by a signal
		if logs, err := filepath.Glob(filepath.Join(dir, "*log")); t.Failed() && err == nil {
			for _, l := range logs {
				b, err := os.ReadFile(l)
				t.Logf("%s of Exim (%v):\n%s", filepath.Base(l), err, b)
			}
		}
	})
	testkit.Eventually(t, node.Patience, "Exim to listen", func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close() // one look is enough
		}
		return err == nil
	})
}

// TestEximBounces is TestPostfixBounces with Exim. Debian has no room for it beside
// Postfix, so nothing asks for it: where it is absent, the sample that it wrote stands
// for it (internal/wire/dsn/testdata).
func TestEximBounces(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("exim4")
	if err != nil {
		t.Log("exim4 is not installed")
		return
	}
	testkit.RequireRoot(t)
	addr := testkit.FreePort(t)
	dns := testkit.StartDNS(t, "p.test. 60 MX 10 mx.exim.test.", "mx.exim.test. 60 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: addr, Way: `return_path = "unique"`})
	startExim(t, program, addr, n)
	id := n.Submit("late", "x@p.test", "y@p.test")
	testkit.Eventually(t, node.Patience, "both failures in the trace", func() bool {
		return strings.Count(n.Events(id), "returned") == 2
	})
	story := n.Trace(id)
	for _, part := range []string{"returned x@p.test", "returned y@p.test", "5.7.1", "We do not relay for strangers", "source      report\n"} {
		if !strings.Contains(story, part) {
			t.Errorf("the trace lacks %q:\n%s", part, story)
		}
	}
	n.WaitInbox("alice", 1)
}
