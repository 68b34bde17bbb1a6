package interop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// withSCRAM is a server that offers SCRAM, and an app password of alice's.
func withSCRAM(t *testing.T) (*node.Node, string) {
	t.Helper()
	n := node.Start(t, node.Options{Extra: "[auth]\nscram = true\n"})
	return n, strings.TrimSpace(n.Run("", "account", "app-password", "add", "alice@a.test", "phone", "--scope", "smtp,imap"))
}

// TestMsmtpLogsInBySCRAM: with an app password, and with a password of which that
// was asked for, and with nothing else.
func TestMsmtpLogsInBySCRAM(t *testing.T) {
	t.Parallel()
	n, generated := withSCRAM(t)
	msmtp := testkit.Require(t, "msmtp")
	n.Run(node.Password+"\n", "account", "passwd", "bob@a.test", "--scram", "--password-stdin")
	submit := func(user, password string, fails bool) string {
		rc := write(t, t.TempDir(), "msmtprc", fmt.Sprintf(`account default
host localhost
port %s
tls on
tls_starttls on
tls_trust_file %s
auth scram-sha-256
user %s@a.test
password "%s"
from %s@a.test
`, node.PortOf(n.Submission), n.CA, user, password, user))
		return node.Program(t, node.Job{Stdin: "Subject: by SCRAM\n\nHello\n", Fails: fails}, msmtp, "-C", rc, "bob@a.test")
	}
	submit("alice", generated, false)
	submit("bob", node.Password, false)
	for _, password := range []string{node.Password, generated + "x"} {
		if out := submit("alice", password, true); !strings.Contains(out, "535") {
			t.Errorf("refused otherwise: %s", out)
		}
	}
	n.WaitInbox("bob", 2)
	if list := n.Run("", "account", "app-password", "list", "alice@a.test"); !strings.Contains(list, "phone") || !strings.Contains(list, "127.0.0.1") {
		t.Errorf("the use is not listed: %s", list)
	}
}

// TestGsaslBindsToTheConnection: SCRAM-SHA-256-PLUS, over IMAP, since gsasl says
// STARTTLS before EHLO to an SMTP server.
func TestGsaslBindsToTheConnection(t *testing.T) {
	t.Parallel()
	n, generated := withSCRAM(t)
	gsasl := testkit.Require(t, "gsasl")
	for mechanism, more := range map[string]string{"SCRAM-SHA-256-PLUS": "--quiet", "SCRAM-SHA-256": "--no-cb"} {
		for _, password := range []string{generated, "wrong"} {
			out := node.Program(t, node.Job{Fails: password == "wrong"}, gsasl, "--imap", "--connect", n.IMAP, "--starttls",
				"--x509-ca-file", n.CA, "--hostname", "127.0.0.1", "--mechanism", mechanism, "--authentication-id", "alice@a.test",
				"--password", password, "--quality-of-protection", "qop-auth", more)
			if good := strings.Contains(out, "] Logged in"); good != (password == generated) {
				t.Errorf("%s with %s: %s", mechanism, password, out)
			}
		}
	}
}
