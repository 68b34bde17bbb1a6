package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// write makes a settings file that only its owner may read.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMsmtpSubmits(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	msmtp := testkit.Require(t, "msmtp")
	dir := t.TempDir()
	for i, account := range []string{
		fmt.Sprintf("port %s\ntls_starttls on", node.PortOf(n.Submission)),
		fmt.Sprintf("port %s\ntls_starttls off", node.PortOf(n.Submissions)),
	} {
		rc := write(t, dir, fmt.Sprintf("msmtprc%d", i), fmt.Sprintf(`account default
host localhost
%s
tls on
tls_trust_file %s
auth on
user alice@a.test
password "%s"
from alice@a.test
`, account, n.CA, node.Password))
		message := fmt.Sprintf("From: alice@a.test\nTo: bob@a.test\nSubject: msmtp %d\n\n.one\n..\n", i)
		node.Program(t, node.Job{Stdin: message}, msmtp, "-C", rc, "bob@a.test")
		got := n.WaitInbox("bob", i+1)[i]
		if !strings.Contains(got, "with ESMTPSA id") || !strings.HasSuffix(got, "\r\n\r\n.one\r\n..\r\n") || !strings.Contains(got, "\r\nMessage-ID: ") {
			t.Errorf("message: %q", got)
		}
		out := node.Program(t, node.Job{Stdin: message, Fails: true}, msmtp, "-C", rc, "-f", "bob@a.test", "bob@a.test")
		if !strings.Contains(out, "may not send as") {
			t.Errorf("a sender that is not ours: %s", out)
		}
	}
}

// deliver puts messages into bob's INBOX by 25.
func deliver(t *testing.T, n *node.Node, subjects ...string) {
	t.Helper()
	for _, s := range subjects {
		node.Program(t, node.Job{}, testkit.Require(t, "swaks"), "--server", n.SMTP, "--from", "x@elsewhere.test", "--to", "bob@a.test",
			"--header", "Subject: "+s, "--body", "one\n.\ntwo\n")
	}
}

func TestFetchmailFetches(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	fetchmail := testkit.Require(t, "fetchmail")
	dir := t.TempDir()
	deliver(t, n, "first", "second")
	fetch := func(name, protocol, port, option, more string, args ...string) string {
		mbox := filepath.Join(dir, name)
		rc := write(t, dir, name+".rc", fmt.Sprintf("poll localhost protocol %s port %s uidl\n user \"bob@a.test\" password \"%s\" %s sslcertck sslcertfile \"%s\" sslcertpath \"%s\" mda \"cat >>%s\" %s\n",
			protocol, port, node.Password, option, n.CA, dir, mbox, more))
		if protocol == "IMAP" {
			text, err := os.ReadFile(rc)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, name+".rc", strings.Replace(string(text), " uidl", "", 1))
		}
		node.Program(t, node.Job{Env: []string{"HOME=" + dir, "FETCHMAILHOME=" + dir}}, fetchmail,
			append([]string{"-f", rc, "--nosyslog", "--pidfile", filepath.Join(dir, name+".pid"), "--idfile", filepath.Join(dir, name+".ids")}, args...)...)
		text, err := os.ReadFile(mbox)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, test := range map[string]struct{ protocol, port, option string }{
		"pop3s": {"POP3", node.PortOf(n.POP3S), "ssl"},
		"imaps": {"IMAP", node.PortOf(n.IMAPS), "ssl"},
		"stls":  {"POP3", node.PortOf(n.POP3), "sslproto tls1.2+"},
		"imap":  {"IMAP", node.PortOf(n.IMAP), "sslproto tls1.2+"},
	} {
		got := fetch(name, test.protocol, test.port, test.option, "keep", "--fetchall")
		for _, part := range []string{"Subject: first\n", "Subject: second\n", "\none\n.\ntwo\n"} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is missing:\n%s", name, part, got)
			}
		}
	}
	n.WaitInbox("bob", 2)
	if got := fetch("away", "POP3", node.PortOf(n.POP3S), "ssl", "no keep", "--fetchall"); !strings.Contains(got, "Subject: second\n") {
		t.Errorf("fetched away: %s", got)
	}
	if left := n.Inbox("bob"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestMbsyncSynchronizes(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	mbsync := testkit.Require(t, "mbsync")
	dir := t.TempDir()
	deliver(t, n, "first", "second")
	maildir := filepath.Join(dir, "mail")
	if err := os.Mkdir(maildir, 0o700); err != nil {
		t.Fatal(err)
	}
	rc := write(t, dir, "mbsyncrc", fmt.Sprintf(`IMAPAccount far
Host localhost
Port %s
User bob@a.test
Pass "%s"
SSLType IMAPS
SystemCertificates no
CertificateFile %s

IMAPStore far
Account far

MaildirStore near
Path %s/
Inbox %[4]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
`, node.PortOf(n.IMAPS), node.Password, n.CA, maildir))
	sync := func() { node.Program(t, node.Job{Env: []string{"HOME=" + dir}}, mbsync, "-c", rc, "all") }
	files := func(folder string) []string {
		var all []string
		for _, sub := range []string{"new", "cur"} {
			found, err := filepath.Glob(filepath.Join(maildir, folder, sub, "*"))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
		return all
	}
	sync()
	got := files("INBOX")
	if len(got) != 2 {
		t.Fatalf("fetched %q", got)
	}
	for _, folder := range []string{"Drafts", "Sent", "Junk", "Trash", "Archive"} {
		if _, err := os.Stat(filepath.Join(maildir, folder)); err != nil {
			t.Error(err)
		}
	}
	// There and back: a new message here, a deleted one, a new folder there.
	if err := os.Remove(got[0]); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(maildir, "INBOX", "new"), "1700000000.1.host", "From: bob@a.test\nSubject: from here\n\nHello\n")
	deliver(t, n, "third")
	sync()
	subjects := strings.Join(n.Inbox("bob"), "\n")
	for subject, want := range map[string]int{"Subject: from here\r\n": 1, "Subject: third\r\n": 1} {
		if strings.Count(subjects, subject) != want {
			t.Errorf("%q in\n%s", subject, subjects)
		}
	}
	if strings.Count(subjects, "Subject: first\r\n")+strings.Count(subjects, "Subject: second\r\n") != 1 || len(files("INBOX")) != 3 {
		t.Errorf("%d files here, there:\n%s", len(files("INBOX")), subjects)
	}
	sync() // nothing is left to do
	if len(files("INBOX")) != 3 || len(n.Inbox("bob")) != 3 {
		t.Errorf("a third run changed something: %q", files("INBOX"))
	}
}
