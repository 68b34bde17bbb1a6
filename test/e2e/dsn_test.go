package e2e

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// submitDSN submits with Python's smtplib and asks for reports.
const submitDSN = `
import smtplib, ssl, sys
host, port, ca, password = sys.argv[1:5]
c = smtplib.SMTP(host, int(port))
c.starttls(context=ssl.create_default_context(cafile=ca))
c.login("alice@a.test", password)
assert c.has_extn("dsn") and c.has_extn("chunking"), c.esmtp_features
failed = c.sendmail("alice@a.test", sys.argv[5:], "From: alice@a.test\r\nSubject: told\r\nMessage-ID: <told@a.test>\r\n\r\nHello\r\n",
    mail_options=["RET=HDRS", "ENVID=told+2B1"], rcpt_options=["NOTIFY=SUCCESS,FAILURE,DELAY"])
assert not failed, failed
c.quit()
`

// TestSuccessIsToldAfterRestarts: the wish for a report lives as long as the
// message, whatever happens to the server meanwhile.
func TestSuccessIsToldAfterRestarts(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{}, testkit.MXRule{Command: "MAIL", Reply: "451 4.3.0 Later", Times: 4})
	node.Python(t, submitDSN, node.HostOf(n.Submission), node.PortOf(n.Submission), n.CA, node.Password, "x@far.test", "bob@a.test")
	// Bob has his copy at once, and alice is told.
	n.WaitInbox("bob", 1)
	first := n.WaitInbox("alice", 1)[0]
	for range 3 {
		waiting := n.WaitQueue("deferred")
		n.Kill()
		n.Server = n.Again()
		n.Run("", "queue", "retry", waiting[0].Message)
		n.WaitQueue("deferred")
	}
	n.Run("", "queue", "retry", n.WaitQueue("deferred")[0].Message)
	far.WaitMessages(1, node.Patience)
	n.WaitQueue("")
	reports := n.WaitInbox("alice", 2)
	for i, want := range []string{`"Final-Recipient": "rfc822; bob@a.test", "Action": "delivered"`, `"Final-Recipient": "rfc822; x@far.test", "Action": "relayed"`} {
		out := node.Python(t, parseReport, reports[i])
		for _, part := range []string{want, `"Original-Envelope-Id": "told+1"`, `Subject: told`} {
			if !strings.Contains(out, part) {
				t.Errorf("report %d lacks %s:\n%s", i+1, part, out)
			}
		}
	}
	if first != reports[0] {
		t.Errorf("the first report has changed: %s", first)
	}
}

// TestReportsByTheNextHost: who hands the wish on leaves the telling to the next
// host, which tells once.
func TestReportsByTheNextHost(t *testing.T) {
	t.Parallel()
	a, b, _ := pair(t, "")
	node.Python(t, submitDSN, node.HostOf(a.Submission), node.PortOf(a.Submission), a.CA, node.Password, "bob@b.test", "nobody@b.test")
	b.WaitInbox("bob", 1)
	reports := a.WaitInbox("alice", 2)
	told := node.Python(t, parseReport, reports[0]) + node.Python(t, parseReport, reports[1])
	for _, part := range []string{
		`"Reporting-MTA": "dns; mx.b.test"`, `"Final-Recipient": "rfc822; bob@b.test", "Action": "delivered"`,
		`"Reporting-MTA": "dns; mx.a.test"`, `"Final-Recipient": "rfc822; nobody@b.test", "Action": "failed"`,
	} {
		if !strings.Contains(told, part) {
			t.Errorf("the reports lack %s:\n%s", part, told)
		}
	}
	a.WaitQueue("")
	b.WaitQueue("")
}
