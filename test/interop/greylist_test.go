package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// startPostgrey runs a policy service that greylists, which Postfix asks at the
// address that it returns.
func startPostgrey(t *testing.T, options ...string) string {
	t.Helper()
	program := testkit.Require(t, "postgrey")
	dir, err := os.MkdirTemp("", "postgrey") // its own user must be able to enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the test is over either way
	chown(t, "postgrey", dir)
	addr := testkit.FreePort(t)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, append([]string{"--inet=" + addr, "--dbdir=" + dir, "--hostname=mx.postfix.test",
		"--whitelist-clients=" + os.DevNull, "--whitelist-recipients=" + os.DevNull}, options...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // ended by a signal
	})
	testkit.Eventually(t, node.Patience, "postgrey to listen", func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close() // one look is enough
		}
		return err == nil
	})
	return addr
}

// A host that greylists gets the message again soon, although everything else
// waits for hours: when it asked for it, or after the time that such hosts usually
// want.
func TestGreylisted(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	silent := startPostgrey(t, fmt.Sprint("--delay=", delay.Seconds()))
	// Nobody is believed who asks for less than a minute.
	asks := startPostgrey(t, "--delay=30", "--greylist-text=Greylisted, try again in %s seconds")
	addr := testkit.FreePort(t)
	dns := testkit.StartDNS(t, "p.test. 60 MX 10 mx.postfix.test.", "mx.postfix.test. 60 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: addr, Queue: `retry = ["4h"]`})
	startPostfix(t, addr, `virtual_alias_domains = p.test
virtual_alias_maps = static:bob@a.test
virtual_mailbox_domains = a.test
virtual_transport = lmtp:inet:`+n.LMTP+`
smtpd_restriction_classes = silent, asks
silent = check_policy_service inet:`+silent+`
asks = check_policy_service inet:`+asks+`
smtpd_recipient_restrictions = check_recipient_access inline:{ {silent@p.test = silent} {asks@p.test = asks} {full@p.test = 452 4.2.2 The mailbox is full} }, permit_mynetworks, reject`)
	n.Submit("grey", "known@p.test", "silent@p.test", "asks@p.test", "full@p.test")
	n.WaitInbox("bob", 1) // nobody waits for the others
	wait := map[string]time.Duration{"silent@p.test": 5*time.Minute + 10*time.Second, "asks@p.test": time.Minute, "full@p.test": 4 * time.Hour}
	waiting := n.WaitQueue("deferred deferred deferred")
	seen := time.Now()
	for _, r := range waiting {
		next, err := time.Parse(time.RFC3339, r.Next)
		if d := time.Until(next); err != nil || d > wait[r.Recipient]+wait[r.Recipient]/10 || d < wait[r.Recipient]-30*time.Second {
			t.Errorf("%s is tried again in %v (%v), want %v", r.Recipient, d, err, wait[r.Recipient])
		}
		if grey := r.Class == "greylisted" && strings.Contains(r.Reply, "Greylisted"); grey != (r.Recipient != "full@p.test") || r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
	}
	testkit.Eventually(t, node.Patience, "the time that postgrey wants", func() bool { return time.Since(seen) > delay+time.Second }) // which counts whole seconds
	n.Run("", "queue", "retry", "--reply", "Greylisted, see")
	n.WaitInbox("bob", 2)
	// The other one is tried by the queue itself.
	testkit.Eventually(t, 2*time.Minute, "the message after the time that was asked for", func() bool { return len(n.Queue()) == 1 })
	for _, got := range n.WaitInbox("bob", 3)[1:] {
		if !strings.Contains(got, "X-Greylist: delayed ") {
			t.Errorf("postgrey did not hold this up:\n%s", got)
		}
	}
	id := waiting[0].Message // all four have the same Message-ID
	n.WaitEvents(id, "accepted delivered deferred deferred deferred delivered delivered")
	story := n.Trace(id)
	for _, part := range []string{"450 4.2.0 <silent@p.test>: Recipient address rejected: Greylisted, see ", "<asks@p.test>: Recipient address rejected: Greylisted, try again in 30 seconds", "greylisted"} {
		if !strings.Contains(story, part) {
			t.Errorf("the trace lacks %q:\n%s", part, story)
		}
	}
	if said := n.Log(); strings.Contains(said, "fewer connections") {
		t.Error("the host was spared: greylisting says nothing about what it bears")
	}
}
