package interop

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// hand gives a message to a server with Python's smtplib; options are those of
// MAIL, a bar, and those of RCPT.
const hand = `
import smtplib, sys
host, port, sender, recipient, mail, rcpt = sys.argv[1:]
c = smtplib.SMTP(host, int(port))
c.ehlo("client.test")
text = "From: <%s>\r\nTo: <%s>\r\nSubject: grüße\r\nMessage-ID: <ext@elsewhere.test>\r\n\r\nこんにちは\r\n" % (sender, recipient)
failed = c.sendmail(sender, [recipient], text.encode(), mail_options=mail.split(), rcpt_options=rcpt.split())
assert not failed, failed
c.quit()
`

// Postfix passes on what it was asked for: reports, addresses beyond ASCII, and
// whom it speaks for.
func TestPostfixPassesExtensionsOn(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{Extra: "[smtp]\nfronts = [\"127.0.0.1\"]\n"})
	n.Run(node.Password+"\n", "account", "add", "jürgen@a.test", "--password-stdin")
	p := startPostfix(t, testkit.FreePort(t), "relayhost = ["+node.HostOf(n.SMTP)+"]:"+node.PortOf(n.SMTP)+"\nlocal_recipient_maps =\nsmtp_send_xforward_command = yes")
	node.Python(t, hand, node.HostOf(p.addr), node.PortOf(p.addr), "alice@a.test", "jürgen@a.test",
		"SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=an+2Bid", "NOTIFY=SUCCESS,FAILURE")
	report := n.WaitInbox("alice", 1)[0]
	for _, part := range []string{"j=C3=BCrgen@a.test", "\r\nAction: delivered\r\n", "Original-Envelope-Id: an+id\r\n", "Reporting-MTA: dns; mx.a.test"} {
		if !strings.Contains(report, part) {
			t.Errorf("the report lacks %q:\n%s", part, report)
		}
	}
	if story := n.Run("", "trace", "<ext@elsewhere.test>", "--json"); !strings.Contains(story, `"forwarded"`) || !strings.Contains(story, "[127.0.0.1]") {
		t.Errorf("the trace does not tell of the client of Postfix:\n%s", story)
	}
	if !strings.Contains(p.log(), "status=sent (250 2.0.0 Accepted as ") {
		t.Errorf("Postfix says: %s", p.log())
	}
}

// We pass them on to Postfix, which reports that it has handed the message over.
func TestWePassExtensionsOnToPostfix(t *testing.T) {
	t.Parallel()
	addr := testkit.FreePort(t)
	dns := testkit.StartDNS(t, "p.test. 60 MX 10 mx.postfix.test.", "mx.postfix.test. 60 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: addr, Extra: "[relay]\nnetworks = [\"127.0.0.1\"]\n"})
	startPostfix(t, addr, `virtual_mailbox_domains = p.test
virtual_mailbox_base = /nonexistent
virtual_transport = discard
relayhost = [`+node.HostOf(n.SMTP)+"]:"+node.PortOf(n.SMTP)+`
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_maps = static:all`)
	node.Python(t, hand, node.HostOf(n.SMTP), node.PortOf(n.SMTP), "alice@a.test", "太郎@p.test",
		"SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=an+2Bid", `NOTIFY=SUCCESS ORCPT=utf-8;\x{592A}\x{90CE}@p.test`)
	report := n.WaitInbox("alice", 1)[0]
	for _, part := range []string{"Original-Recipient: utf-8;", "Action: delivered", "Original-Envelope-Id: an+id", "Reporting-MTA: dns; mx.postfix.test"} {
		if !strings.Contains(report, part) {
			t.Errorf("the report lacks %q:\n%s", part, report)
		}
	}
	n.WaitQueue("")
}

// swaks speaks for a client, and logs in by each mechanism that it knows.
func TestSwaks(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{Extra: "[smtp]\nfronts = [\"127.0.0.1\"]\n"})
	swaks := testkit.Require(t, "swaks")
	node.Program(t, node.Job{}, swaks, "--server", n.SMTP, "--from", "x@elsewhere.test", "--to", "bob@a.test",
		"--xclient-addr", "203.0.113.5", "--xclient-name", "client.test", "--xclient-helo", "client.test", "--header", "Subject: spoken for")
	if got := n.WaitInbox("bob", 1)[0]; !strings.Contains(got, "Received: from client.test ([203.0.113.5])") {
		t.Errorf("the message:\n%s", got)
	}
	for i, mechanism := range []string{"PLAIN", "LOGIN"} {
		args := []string{"--server", n.Submission, "--tls", "--from", "alice@a.test", "--to", "bob@a.test", "--auth", mechanism,
			"--auth-user", "alice@a.test", "--header", "Subject: " + mechanism}
		node.Program(t, node.Job{}, swaks, append(args, "--auth-password", node.Password)...)
		n.WaitInbox("bob", 2+i)
		if out := node.Program(t, node.Job{Fails: true}, swaks, append(args, "--auth-password", "wrong")...); !strings.Contains(out, "535 5.7.8") {
			t.Errorf("%s with a wrong password: %s", mechanism, out)
		}
	}
}
