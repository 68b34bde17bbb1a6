package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// give hands a message to a server with Python's smtplib and tells the reply.
const give = `
import os, smtplib, sys
host, port, sender, recipients, options, text = sys.argv[1:]
c = smtplib.SMTP(host, int(port))
c.ehlo("client.test")
assert c.mail(sender, options.split())[0] == 250
for r in recipients.split():
    assert c.rcpt(r)[0] == 250
code, reply = c.data(os.fsencode(text))
assert code == 250, reply
print(reply.decode().split()[-1])
c.quit()
`

// letter is a message for a Postfix that does not take everything.
type letter struct {
	name     string
	from, to string // from: empty = alice, who gets the report
	options  string
	header   string
	body     string

	events string
	trace  string   // what it says of a failure
	report []string // what the report says, none = there is none
	copies int      // that bob gets, by way of Postfix
	holds  string   // what is in them
	lacks  string
}

// TestPostfixTakesLess: what a host does not offer is not asked of it. What it cannot
// have for that is refused with the code that says so, or sent in the form that it
// takes, and never in one that would change what is said.
func TestPostfixTakesLess(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("A line of a message that is too large for Postfix.\r\n", 600)
	const refused = "accepted failed bounced"
	const japanese = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
	const signed = "Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"; micalg=pgp-sha256\r\n"
	const parts = "--b\r\n" + japanese + "\r\nこんにちは\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
	for name, c := range map[string]struct {
		main    string
		letters []letter
		never   string // in the log of Postfix
	}{
		"size": {"message_size_limit = 20000", []letter{
			{name: "large", body: big, events: refused, trace: "takes up to 20000", report: []string{"Status: 5.3.4\r\n", "takes up to 20000"}},
			{name: "small", body: "Hello\r\n", events: "accepted delivered", copies: 1, holds: "Hello"},
		}, "message-id=<large@"},
		"no size": {"message_size_limit = 20000\nsmtpd_discard_ehlo_keywords = size", []letter{
			{name: "large", body: big, events: refused, trace: "552 5.3.4", report: []string{"Status: 5.3.4\r\n", "Diagnostic-Code: smtp; 552 5.3.4 ", "Remote-MTA: dns; mx.postfix.test\r\n"}},
			{name: "small", body: "Hello\r\n", events: "accepted delivered", copies: 1, holds: "Hello"},
		}, "message-id=<large@"},
		"no size by DATA": {"message_size_limit = 20000\nsmtpd_discard_ehlo_keywords = size, chunking, pipelining", []letter{
			{name: "large", body: big, events: refused, trace: "552 5.3.4", report: []string{"Status: 5.3.4\r\n", "Diagnostic-Code: smtp; 552 5.3.4 "}},
		}, "bdat="},
		"disk full": {"queue_minfree = 9000000000000000000\nmessage_size_limit = 0", []letter{
			{name: "any", body: "Hello\r\n", events: "accepted deferred", trace: "452 4.3.1"},
		}, "status=sent"},
		"no SMTPUTF8": {"smtputf8_enable = no", []letter{
			{name: "address", to: "太郎@p.test", options: "SMTPUTF8", body: "Hello\r\n", events: refused, trace: "5.6.7",
				report: []string{"Status: 5.6.7\r\n", "needs SMTPUTF8, which mx.postfix.test does not know"}},
			{name: "mixed", to: "x@p.test 太郎@p.test", options: "SMTPUTF8", body: "Hello\r\n", events: "accepted delivered failed bounced", trace: "5.6.7",
				report: []string{"Status: 5.6.7\r\n"}, copies: 1},
			// Its sender's domain does not exist, so that the report fails as well.
			{name: "sender", from: "太郎@elsewhere.test", options: "SMTPUTF8", body: "Hello\r\n", events: refused + " bounced", trace: "5.6.7"},
			{name: "header", options: "SMTPUTF8 BODY=8BITMIME", header: "Comments: こんにちは\r\n", body: "Hello\r\n", events: refused, trace: "5.6.9",
				report: []string{"Status: 5.6.9\r\n"}},
			{name: "ascii", options: "SMTPUTF8", body: "Hello\r\n", events: "accepted delivered", copies: 1, holds: "Hello"},
			{name: "body", options: "SMTPUTF8 BODY=8BITMIME", header: japanese, body: "こんにちは\r\n", events: "accepted delivered", copies: 1, holds: latin("こんにちは")},
		}, "太郎"},
		"7-bit": {"smtpd_discard_ehlo_keywords = 8bitmime, chunking, pipelining", []letter{
			{name: "converted", options: "BODY=8BITMIME", header: japanese, body: "こんにちは\r\n", events: "accepted delivered", copies: 1,
				holds: "\r\n\r\n44GT44KT44Gr44Gh44GvDQo=", lacks: latin("こ")},
			{name: "signed", options: "BODY=8BITMIME", header: signed, body: parts, events: refused, trace: "5.6.3",
				report: []string{"Status: 5.6.3\r\n", "signed or encrypted"}},
			{name: "header", options: "BODY=8BITMIME", header: "Comments: こんにちは\r\n", body: "Hello\r\n", events: refused, trace: "5.6.3",
				report: []string{"Status: 5.6.3\r\n", "a header holds octets beyond ASCII"}},
			{name: "ascii", options: "BODY=8BITMIME", body: "Hello\r\n", events: "accepted delivered", copies: 1, holds: "Hello"},
		}, "bdat="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := testkit.FreePort(t)
			dns := testkit.StartDNS(t, "p.test. 60 MX 10 mx.postfix.test.", "mx.postfix.test. 60 A 127.0.0.1")
			n := node.Start(t, node.Options{DNS: dns, Port: addr, Extra: "[relay]\nnetworks = [\"127.0.0.1\"]\n"})
			p := startPostfix(t, addr, `virtual_alias_domains = p.test
virtual_alias_maps = static:bob@a.test
virtual_mailbox_domains = a.test
virtual_transport = lmtp:inet:`+n.LMTP+`
smtpd_recipient_restrictions = permit_mynetworks, reject
`+c.main)
			reports, copies := 0, 0
			for _, l := range c.letters {
				exchange(t, n, l)
				reports += min(len(l.report), 1)
				copies += l.copies
			}
			alice, bob := n.WaitInbox("alice", reports), n.WaitInbox("bob", copies)
			for _, l := range c.letters {
				has := func(text string) bool { return strings.Contains(text, "Message-ID: <"+l.name+"@elsewhere.test>\r\n") }
				if len(l.report) > 0 {
					report := one(t, l.name, alice, has)
					for _, part := range l.report {
						if !strings.Contains(report, part) {
							t.Errorf("%s: the report lacks %q:\n%s", l.name, part, report)
						}
					}
				}
				if l.copies > 0 {
					got := one(t, l.name, bob, has)
					if !strings.Contains(got, l.holds) || l.lacks != "" && strings.Contains(got, l.lacks) {
						t.Errorf("%s: bob got\n%s", l.name, got)
					}
				}
			}
			if strings.Contains(p.log(), c.never) {
				t.Errorf("Postfix has seen %q", c.never)
			}
		})
	}
}

// exchange gives a letter to our server and waits for what comes of it.
func exchange(t *testing.T, n *node.Node, l letter) {
	t.Helper()
	if l.from == "" {
		l.from = "alice@a.test"
	}
	if l.to == "" {
		l.to = "x@p.test"
	}
	text := fmt.Sprintf("From: <%s>\r\nTo: <x@p.test>\r\nSubject: %s\r\nMessage-ID: <%s@elsewhere.test>\r\nMIME-Version: 1.0\r\n%s\r\n%s",
		"alice@a.test", l.name, l.name, l.header, l.body)
	id := strings.TrimSpace(node.Python(t, give, node.HostOf(n.SMTP), node.PortOf(n.SMTP), l.from, l.to, l.options, text))
	n.WaitEvents(id, l.events)
	if story := n.Trace(id); !strings.Contains(story, l.trace) {
		t.Errorf("%s: the trace lacks %q:\n%s", l.name, l.trace, story)
	}
}

// one is the only message of those that are asked for.
func one(t *testing.T, name string, list []string, which func(string) bool) string {
	t.Helper()
	if i := slices.IndexFunc(list, which); i >= 0 {
		return list[i]
	}
	t.Errorf("nothing of %s in\n%s", name, strings.Join(list, "\n----\n"))
	return ""
}

// latin is how Node.Inbox shows octets.
func latin(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = rune(s[i])
	}
	return string(out)
}
