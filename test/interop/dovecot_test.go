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

// dovecotConf is what an instance has apart from its work.
const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
ssl = no
mail_location = maildir:~/Maildir
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
`

// dovecotStore is a mail store whose users stand in a file.
const dovecotStore = `protocols = lmtp
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

// dovecotLogins checks logins for another server, by SCRAM alone.
const dovecotLogins = `protocols =
auth_mechanisms = scram-sha-256
passdb {
  driver = passwd-file
  args = scheme=PLAIN %[1]s/users
}
service auth {
  unix_listener %[1]s/auth {
    mode = 0666
  }
}
`

// startDovecot runs an instance, with a file of users, that listens at a socket in its
// folder.
func startDovecot(t *testing.T, conf, users, socket string) (dir string) {
	t.Helper()
	dovecot := testkit.Require(t, "dovecot")
	testkit.RequireRoot(t)
	dir, err := os.MkdirTemp("", "hm") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // it is only left over
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(write(t, dir, "users", strings.ReplaceAll(users, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	file := write(t, dir, "dovecot.conf", fmt.Sprintf(dovecotConf+conf, dir))
	cmd := exec.CommandContext(t.Context(), dovecot, "-F", "-c", file)
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
	testkit.Eventually(t, node.Patience, "Dovecot's socket", func() bool {
		_, err := os.Stat(filepath.Join(dir, socket))
		return err == nil
	})
	return dir
}

// TestDovecotTakesMailByLMTP: over its socket; who is not there is refused alone.
func TestDovecotTakesMailByLMTP(t *testing.T) {
	t.Parallel()
	testkit.Require(t, "/usr/lib/dovecot/lmtp")
	dir := startDovecot(t, dovecotStore, "carol::65534:65534::DIR/carol::\n", "lmtp")
	if err := os.Mkdir(filepath.Join(dir, "carol"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "carol"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	n := node.Start(t, node.Options{})
	n.Run("", "route", "set", "store", "--kind", "lmtp", "--host", "unix:"+filepath.Join(dir, "lmtp"))
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

// TestWeLogInBySCRAM: to Postfix, whose logins Dovecot checks, and by nothing else.
func TestWeLogInBySCRAM(t *testing.T) {
	t.Parallel()
	dir := startDovecot(t, dovecotLogins, "us:{PLAIN}a secret\n", "auth")
	p := startPostfix(t, testkit.FreePort(t), `smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = `+dir+`/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
default_transport = discard`)
	for password, want := range map[string]string{"a secret": "delivered", "another": "535"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			dns := testkit.StartDNS(t, "mx.postfix.test. 60 A 127.0.0.1")
			n := node.Start(t, node.Options{DNS: dns, Env: []string{"SSL_CERT_FILE=" + p.certificate}, Queue: `retry = ["4h"]`,
				Way: fmt.Sprintf("smart_host = \"mx.postfix.test:%s\"\nsmart_host_user = \"us\"\nsmart_host_password_file = %q",
					node.PortOf(p.addr), write(t, t.TempDir(), "password", password+"\n"))})
			id := n.Submit("by SCRAM", "x@elsewhere.test")
			testkit.Eventually(t, node.Patience, "what became of it", func() bool { return strings.Contains(n.Trace(id), want) })
			if log := p.log(); want == "delivered" && !strings.Contains(log, "sasl_method=SCRAM-SHA-256, sasl_username=us") {
				t.Errorf("its log:\n%s", log)
			}
		})
	}
}
