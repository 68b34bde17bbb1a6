package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// letter is a message with an attachment and a Japanese subject.
const letter = "From: Alice <alice@a.test>\r\nTo: bob@a.test\r\nSubject: =?utf-8?b?5pep6aas?= %s\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n.\r\n..\r\n\r\n" +
	"--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--b--\r\n"

// Programs that we did not write send by every door.
func TestSenders(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	type sender struct {
		name string
		send func(t *testing.T, message string)
	}
	var senders []sender
	add := func(name string, send func(*testing.T, string)) { senders = append(senders, sender{name, send}) }

	swaks := func(args ...string) func(*testing.T, string) {
		return func(t *testing.T, message string) {
			args := append([]string{"--from", "alice@a.test", "--to", "bob@a.test", "--helo", "client.test", "--data", "-"}, args...)
			node.Program(t, node.Job{Stdin: message}, swaksWith(t, args), args...)
		}
	}
	login := []string{"--auth-user", "alice@a.test", "--auth-password", node.Password}
	add("swaks to 25", swaks("--server", n.SMTP))
	add("swaks to 25 with STARTTLS and PIPELINING", swaks("--server", n.SMTP, "--tls", "--pipeline"))
	add("swaks to 587 with STARTTLS and AUTH PLAIN", swaks(append(login, "--server", n.Submission, "--tls", "--auth", "PLAIN")...))
	add("swaks to 2525 with STARTTLS and AUTH LOGIN", swaks(append(login, "--server", n.Submission2, "--tls", "--auth", "LOGIN")...))
	add("swaks to 465", swaks(append(login, "--server", n.Submissions, "--tls-on-connect", "--auth")...))
	add("swaks to LMTP", swaks("--server", n.LMTP, "--protocol", "LMTP"))

	curl := func(args ...string) func(*testing.T, string) {
		return func(t *testing.T, message string) {
			args := append([]string{"--silent", "--show-error", "--cacert", n.CA, "--mail-from", "alice@a.test", "--mail-rcpt", "bob@a.test", "--upload-file", "-"}, args...)
			node.Program(t, node.Job{Stdin: message}, testkit.Require(t, "curl"), args...)
		}
	}
	user := []string{"--user", "alice@a.test:" + node.Password}
	add("curl to 25", curl("smtp://"+n.SMTP+"/client.test"))
	add("curl to 587 with STARTTLS", curl(append(user, "--ssl-reqd", "smtp://"+n.Submission+"/client.test")...))
	add("curl to 465", curl(append(user, "smtps://"+n.Submissions+"/client.test")...))

	smtplib := func(class, addr, steps string) func(*testing.T, string) {
		return func(t *testing.T, message string) {
			node.Python(t, `
import smtplib, ssl, sys
host, port, ca, password, message = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)
c = `+class+`
`+steps+`
print(c.sendmail("alice@a.test", ["bob@a.test"], message.encode()))
c.quit()
`, node.HostOf(addr), node.PortOf(addr), n.CA, node.Password, message)
		}
	}
	add("smtplib to 25", smtplib("smtplib.SMTP(host, int(port))", n.SMTP, ""))
	add("smtplib to 587 with STARTTLS", smtplib("smtplib.SMTP(host, int(port))", n.Submission, "c.starttls(context=tls)\nc.login('alice@a.test', password)"))
	add("smtplib to 2525 with STARTTLS", smtplib("smtplib.SMTP(host, int(port))", n.Submission2, "c.starttls(context=tls)\nc.login('alice@a.test', password)"))
	add("smtplib to 465", smtplib("smtplib.SMTP_SSL(host, int(port), context=tls)", n.Submissions, "c.login('alice@a.test', password)"))
	add("smtplib to LMTP", smtplib("smtplib.LMTP(host, int(port))", n.LMTP, ""))

	for _, s := range senders {
		t.Run(s.name, func(t *testing.T) { s.send(t, fmt.Sprintf(letter, strings.ReplaceAll(s.name, " ", "-"))) })
	}
	got := n.Inbox("bob")
	if len(got) != len(senders) {
		t.Errorf("%d messages, want %d", len(got), len(senders))
	}
	for _, s := range senders {
		subject := strings.ReplaceAll(s.name, " ", "-")
		i := slices.IndexFunc(got, func(m string) bool { return strings.Contains(m, "=?utf-8?b?5pep6aas?= "+subject+"\r\n") })
		if i < 0 {
			t.Errorf("%s: its message did not arrive", s.name)
			continue
		}
		_, body, _ := strings.Cut(got[i], "\r\n\r\n")
		_, want, _ := strings.Cut(letter, "\r\n\r\n")
		if strings.TrimRight(body, "\r\n") != strings.TrimRight(want, "\r\n") {
			t.Errorf("%s: body %q, want %q", s.name, body, want)
		}
	}
}

// swaksWith returns the path of swaks, with TLS if the arguments ask for it: that
// needs a Perl module of its own.
func swaksWith(t *testing.T, args []string) string {
	t.Helper()
	path := testkit.Require(t, "swaks")
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--tls") }) {
		return path
	}
	if support := node.Program(t, node.Job{}, path, "--support"); !regexp.MustCompile(`(?m)TLS supported`).MatchString(support) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("swaks has no TLS (libnet-ssleay-perl): %s", support)
		}
		t.Skip("swaks has no TLS here (libnet-ssleay-perl)")
	}
	return path
}

// Programs that we did not write read one message by every door.
func TestReaders(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	body := "Hello\r\n.\r\n..\r\nend\r\n"
	node.Python(t, `
import smtplib, sys
c = smtplib.SMTP(sys.argv[1], int(sys.argv[2]))
c.sendmail("x@elsewhere.test", ["bob@a.test"], sys.argv[3].encode())
c.quit()
`, node.HostOf(n.SMTP), node.PortOf(n.SMTP), "From: x@elsewhere.test\r\nSubject: to be read\r\n\r\n"+body)
	whole := n.WaitInbox("bob", 1)[0]
	user := []string{"--silent", "--show-error", "--cacert", n.CA, "--user", "bob@a.test:" + node.Password}
	for _, test := range []struct{ name, url, option string }{
		{"curl over IMAP with STARTTLS", "imap://" + n.IMAP + "/INBOX;UID=1", "--ssl-reqd"},
		{"curl over IMAPS", "imaps://" + n.IMAPS + "/INBOX;UID=1", "--ssl-reqd"},
		{"curl over POP3 with STLS", "pop3://" + n.POP3 + "/1", "--ssl-reqd"},
		{"curl over POP3S", "pop3s://" + n.POP3S + "/1", "--ssl-reqd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := node.Program(t, node.Job{}, testkit.Require(t, "curl"), append(slices.Clone(user), test.option, test.url)...)
			if strings.TrimRight(got, "\r\n") != strings.TrimRight(whole, "\r\n") {
				t.Errorf("read %q, want %q", got, whole)
			}
		})
	}
	t.Run("curl is refused without TLS", func(t *testing.T) {
		node.Program(t, node.Job{Fails: true}, testkit.Require(t, "curl"), append(slices.Clone(user), "imap://"+n.IMAP+"/INBOX;UID=1")...)
	})
	t.Run("poplib with STLS and over POP3S", func(t *testing.T) {
		got := node.Python(t, `
import poplib, ssl, sys
host, port, sport, ca, password = sys.argv[1:]
tls = ssl.create_default_context(cafile=ca)
a = poplib.POP3(host, int(port)); a.stls(context=tls)
a.user("bob@a.test"); a.pass_(password)
number, size = a.stat(); uid = a.uidl()[1]
text = b"\r\n".join(a.retr(1)[1]) + b"\r\n"
assert len(text) == size, (len(text), size)
top = b"\r\n".join(a.top(1, 1)[1])
assert top.endswith(b"\r\n\r\nHello"), top
a.quit()
b = poplib.POP3_SSL(host, int(sport), context=tls)
b.user("bob@a.test"); b.pass_(password)
assert b.uidl()[1] == uid and b.stat() == (number, size)
b.quit()
sys.stdout.buffer.write(text)
`, node.HostOf(n.POP3), node.PortOf(n.POP3), node.PortOf(n.POP3S), n.CA, node.Password)
		if got != whole {
			t.Errorf("read %q, want %q", got, whole)
		}
	})
	t.Run("imaplib with STARTTLS does a day's work", func(t *testing.T) {
		node.Python(t, `
import imaplib, ssl, sys, time
host, port, ca, password = sys.argv[1:]
c = imaplib.IMAP4(host, int(port)); c.starttls(ssl.create_default_context(cafile=ca))
c.login("bob@a.test", password)
def ok(r):
    assert r[0] == "OK", r
    return r[1]
names = [l.decode().split(' "/" ')[1].strip('"') for l in ok(c.list())]
assert set(names) == {"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"}, names
ok(c.create("Work/\u6771".encode("utf-7").decode().replace("+", "&")))
ok(c.append("Drafts", "(\\Draft)", imaplib.Time2Internaldate(time.time()), b"Subject: draft\r\n\r\nx\r\n"))
assert ok(c.select("INBOX")) == [b"1"]
assert ok(c.search(None, "SUBJECT", '"to be read"')) == [b"1"]
assert b"to be read" in ok(c.fetch("1", "(ENVELOPE FLAGS RFC822.SIZE)"))[0]
ok(c.store("1", "+FLAGS", "(\\Flagged keyword)"))
ok(c.copy("1", "Archive"))
assert ok(c.select("Archive")) == [b"1"]
assert b"\\Flagged" in ok(c.fetch("1", "(FLAGS)"))[0]
ok(c.store("1", "+FLAGS", "\\Deleted")); assert ok(c.expunge()) == [b"1"]
ok(c.select("INBOX")); ok(c.store("1", "-FLAGS", "(\\Flagged keyword)"))
c.logout()
`, node.HostOf(n.IMAP), node.PortOf(n.IMAP), n.CA, node.Password)
	})
	t.Run("neomutt saves the message", func(t *testing.T) {
		dir := t.TempDir()
		saved := filepath.Join(dir, "saved")
		rc := fmt.Sprintf(`set folder="imaps://%[1]s"
set imap_user="bob@a.test"
set imap_pass="%[2]s"
set ssl_ca_certificates_file="%[3]s"
set header_cache=""
set certificate_file="%[4]s/certificates"
set confirmappend=no
set confirmcreate=no
set delete=no
set quit=yes
set mbox_type=mbox
set sort=mailbox-order
set copy=no
push "<copy-message>%[5]s<enter><exit>"
`, n.IMAPS, node.Password, n.CA, dir, saved)
		config := filepath.Join(dir, "neomuttrc")
		if err := os.WriteFile(config, []byte(rc), 0o600); err != nil {
			t.Fatal(err)
		}
		// A terminal of its own, since neomutt draws even when it is driven.
		node.Program(t, node.Job{Env: []string{"TERM=vt100", "HOME=" + dir}}, testkit.Require(t, "script"), "-qec",
			testkit.Require(t, "neomutt")+" -n -F "+config+" -f imaps://"+n.IMAPS+"/INBOX", os.DevNull)
		text, err := os.ReadFile(saved)
		if err != nil || !strings.Contains(string(text), "Subject: to be read\n") || !strings.Contains(string(text), "\n.\n..\nend\n") {
			t.Errorf("saved %q, %v", text, err)
		}
	})
}
