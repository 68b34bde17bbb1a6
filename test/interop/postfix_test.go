package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// Postfix with its own settings and queue: no DNS, TLS where offered.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/maillog
maillog_file_prefixes = %[1]s
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
disable_dns_lookups = yes
smtp_tls_security_level = may
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[2]s
smtpd_tls_key_file = %[3]s
%[4]s
`

// No service is chrooted: "n" in the third column of flags.
const postfixMaster = `%s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
discard unix - - n - - discard
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// postfix is a running instance.
type postfix struct {
	addr        string
	dir         string
	certificate string // file with its own and that of its authority
}

// log is what it has written so far.
func (p postfix) log() string {
	text, err := os.ReadFile(filepath.Join(p.dir, "maillog"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// startPostfix runs an instance with more lines of main.cf, whose certificate is for
// more names.
func startPostfix(t *testing.T, addr, main string, names ...string) postfix {
	t.Helper()
	program := testkit.Require(t, "postfix")
	testkit.RequireRoot(t)
	dir, err := os.MkdirTemp("", "postfix") // its own users must be able to enter
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the test is over either way
	if !strings.Contains(main, "smtputf8_enable") {
		main += "\nsmtputf8_enable = yes"
	}
	certificate, key := testkit.NewCA(t).Files(t, append([]string{"mx.postfix.test"}, names...)...)
	conf := filepath.Join(dir, "conf")
	for _, d := range []string{conf, filepath.Join(dir, "queue"), filepath.Join(dir, "data")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	chown(t, "postfix", filepath.Join(dir, "data"))
	for name, text := range map[string]string{
		"main.cf": fmt.Sprintf(postfixMain, dir, certificate, key, main), "master.cf": fmt.Sprintf(postfixMaster, addr),
	} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	node.Program(t, node.Job{}, program, "-c", conf, "check") // makes the folders of the queue
	daemons := strings.TrimSpace(node.Program(t, node.Job{}, testkit.Require(t, "postconf"), "-c", conf, "-h", "daemon_directory"))
	p := postfix{addr: addr, dir: dir, certificate: certificate}
	run(t, p, exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(daemons, "master"), "-c", conf, "-d"))
	testkit.Eventually(t, node.Patience, "Postfix to greet", func() bool {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return false
		}
		greeting := make([]byte, 3)
		err = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if err == nil {
			_, err = conn.Read(greeting)
		}
		_ = conn.Close() // one look is enough
		return err == nil && string(greeting) == "220"
	})
	return p
}

// run runs the master until the test ends; it takes its own children along.
func run(t *testing.T, p postfix, master *exec.Cmd) {
	t.Helper()
	master.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	master.WaitDelay = 5 * time.Second
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The whole group is the master's: its id is the master's own.
		_ = syscall.Kill(-master.Process.Pid, syscall.SIGTERM) // it may have ended
		_ = master.Wait()                                      // ended by a signal
		if t.Failed() {
			t.Logf("log of Postfix:\n%s", p.log())
		}
	})
}

func chown(t *testing.T, name, path string) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	if uidErr != nil || gidErr != nil || os.Chown(path, uid, gid) != nil {
		t.Fatalf("chown %s to %s", path, name)
	}
}

// Postfix takes mail from a client and relays it into Hayauma.
func TestPostfixRelaysToUs(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	p := startPostfix(t, testkit.FreePort(t), "relayhost = ["+node.HostOf(n.SMTP)+"]:"+node.PortOf(n.SMTP)+"\nlocal_recipient_maps =")
	swaks := testkit.Require(t, "swaks")
	node.Program(t, node.Job{}, swaks, "--server", p.addr, "--from", "x@elsewhere.test", "--to", "alice@a.test,bob@a.test,nobody@a.test",
		"--header", "Subject: through Postfix", "--body", "one\n.\n..two\n")
	got := n.WaitInbox("bob", 1)[0]
	for _, part := range []string{"Return-Path: <x@elsewhere.test>\r\n", "Received: from mx.postfix.test", "with ESMTPS id",
		"Subject: through Postfix\r\n", "one\r\n.\r\n..two\r\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("the message lacks %q:\n%s", part, got)
		}
	}
	n.WaitInbox("alice", 1)
	testkit.Eventually(t, node.Patience, "our refusal in the log of Postfix", func() bool {
		return strings.Contains(p.log(), "550 5.1.1 There is no such mailbox here") && strings.Contains(p.log(), "Accepted as ")
	})
}

// Hayauma relays to Postfix as the MX of a domain, which hands the message back
// over LMTP.
func TestWeRelayToPostfix(t *testing.T) {
	t.Parallel()
	addr := testkit.FreePort(t)
	dns := testkit.StartDNS(t, "p.test. 60 MX 10 mx.postfix.test.", "mx.postfix.test. 60 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: addr})
	p := startPostfix(t, addr, `virtual_alias_domains = p.test
virtual_alias_maps = static:bob@a.test
virtual_mailbox_domains = a.test
virtual_transport = lmtp:inet:`+n.LMTP+`
smtpd_recipient_restrictions = check_recipient_access inline:{ {no@p.test = 550 5.1.1 Not with us}, {later@p.test = 450 4.7.1 Not yet} }, permit_mynetworks, reject`)
	id := n.Submit("round", "x@p.test", "no@p.test", "later@p.test")
	got := n.WaitInbox("bob", 1)[0]
	for _, part := range []string{"Delivered-To: bob@a.test\r\n", "with LMTP", "by mx.postfix.test (Postfix) with ESMTPS", "Received: from mx.a.test", "Subject: round\r\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("the message lacks %q:\n%s", part, got)
		}
	}
	report := n.WaitInbox("alice", 1)[0]
	if !strings.Contains(report, "Not with us") || !strings.Contains(report, "Remote-MTA: dns; mx.postfix.test") {
		t.Errorf("report:\n%s", report)
	}
	if waiting := n.WaitQueue("deferred")[0]; waiting.Recipient != "later@p.test" || !strings.Contains(waiting.Reply, "Not yet") {
		t.Errorf("waiting: %+v", waiting)
	}
	if story := n.Trace(id); !strings.Contains(story, "queued as ") || !strings.Contains(story, "Not with us") || !strings.Contains(story, "Not yet") {
		t.Errorf("the trace lacks the words of Postfix:\n%s", story)
	}
	if !strings.Contains(p.log(), "status=sent (250 2.0.0 Accepted as ") {
		t.Error("Postfix does not know that it was delivered")
	}
	testkit.Eventually(t, node.Patience, "its count of our commands: the message came as a chunk", func() bool {
		return regexp.MustCompile(`disconnect from .* bdat=1 .*`).MatchString(p.log())
	})
}
