package e2e

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// sendReport sends a report as another host does, written by Python's email package,
// and prints the reply that decides.
const sendReport = `
import email, smtplib, sys
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
host, port, to, failed, form = sys.argv[1:6]
m = MIMEMultipart("report", report_type=form)
m["From"], m["To"], m["Subject"] = "MAILER-DAEMON@mx.far.test", to, "Undelivered"
m.attach(MIMEText("It could not be delivered.\n"))
part = MIMENonMultipart("message", form)
if form == "delivery-status":
    part.set_payload([email.message_from_string(block) for block in (
        "Reporting-MTA: dns; mx.far.test\n\n",
        "Final-Recipient: rfc822; %s\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 5.2.2 The mailbox is full\n\n" % failed)])
else:
    part.set_payload([email.message_from_string("Feedback-Type: abuse\nUser-Agent: test/1\nVersion: 1\nOriginal-Rcpt-To: <%s>\n\n" % failed)])
m.attach(part)
c = smtplib.SMTP(host, int(port))
c.ehlo()
assert c.mail("")[0] == 250
code, words = c.rcpt(to)
if code == 250:
    code, words = c.data(m.as_string())
print(code, words.decode())
c.quit()
`

// TestReportsComeBack: a host that took a message tells later that it failed, and
// that its reader complains. The history of the message has both, its sender too; a
// return path that somebody made up leads nowhere.
func TestReportsComeBack(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"unique", "verp"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			n, far, _ := withMX(t, node.Options{Way: "return_path = \"" + mode + "\""}, testkit.MXOptions{})
			id := n.Submit("lunch", "x@far.test", "y@far.test")
			transactions := 1
			if mode == "verp" {
				transactions = 2
			}
			messages := far.WaitMessages(transactions, node.Patience)
			n.WaitEvents(id, "accepted delivered delivered")
			path := messages[0].From
			for i, m := range messages {
				if !strings.HasPrefix(m.From, "b+") || !strings.HasSuffix(m.From, "@a.test") || i > 0 && m.From == path {
					t.Errorf("return path: %s", m.From)
				}
			}
			to := messages[0].Recipients[0].Address
			report := func(path, form string) string {
				return node.Python(t, sendReport, node.HostOf(n.SMTP), node.PortOf(n.SMTP), path, to, form)
			}
			if got := report(path, "delivery-status"); !strings.HasPrefix(got, "250 ") {
				t.Fatalf("the report: %s", got)
			}
			n.WaitEvents(id, "accepted delivered delivered returned")
			if got := n.WaitInbox("alice", 1)[0]; !strings.HasPrefix(got, "Return-Path: <>\r\n") || !strings.Contains(got, "The mailbox is full") {
				t.Errorf("alice got %s", got)
			}
			if got := report(path, "feedback-report"); !strings.HasPrefix(got, "250 ") {
				t.Fatalf("the complaint: %s", got)
			}
			n.WaitEvents(id, "accepted delivered delivered returned complained")
			for _, part := range []string{"returned " + to, "552 5.2.2 The mailbox is full", "source      report", "complained " + to} {
				if story := n.Trace(id); !strings.Contains(story, part) {
					t.Errorf("the trace lacks %q:\n%s", part, story)
				}
			}
			message := path[len("b+"):][:len("0000000000000")]
			for _, path := range []string{strings.Replace(path, "@", "0@", 1), "b+" + message + strings.Repeat("0", 16) + "@a.test", "b@a.test"} {
				if got := report(path, "delivery-status"); !strings.HasPrefix(got, "550 5.1.1 ") {
					t.Errorf("%s: %s", path, got)
				}
			}
			n.WaitInbox("alice", 2)
		})
	}
}
