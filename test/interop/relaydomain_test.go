package interop

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// A gateway before Postfix, which has the map of recipients: it is asked, and gets the
// mail of those who are there. What is delivered comes back to bob, to be looked at.
func TestGatewayBeforePostfix(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	p := startPostfix(t, testkit.FreePort(t), `virtual_alias_domains = p.test
virtual_alias_maps = inline:{ {known@p.test = bob@a.test} }
virtual_mailbox_domains = a.test
virtual_transport = lmtp:inet:`+n.LMTP)
	n.Run("", "domain", "add", "p.test", "--relay", "--recipients", "ask", "--to", p.addr)
	out := node.Python(t, `
import smtplib, sys
c = smtplib.SMTP(sys.argv[1], int(sys.argv[2]))
for n in range(2):
    refused = c.sendmail("x@elsewhere.test", ["known@p.test", "unknown@p.test"], "From: x@elsewhere.test\r\nSubject: asked %d\r\n\r\nHello\r\n" % n)
    print(refused)
`, node.HostOf(n.SMTP), node.PortOf(n.SMTP))
	if strings.Count(out, "unknown@p.test") != 2 || strings.Count(out, "550") != 2 || strings.Contains(out, "'known") {
		t.Errorf("refused: %s", out)
	}
	for _, m := range n.WaitInbox("bob", 2) {
		if !strings.Contains(m, "by mx.postfix.test (Postfix) with ESMTPS") || !strings.Contains(m, "Return-Path: <x@elsewhere.test>") {
			t.Errorf("the message lacks its way:\n%s", m)
		}
	}
	n.WaitQueue("")
	if log := p.log(); strings.Count(log, "<unknown@p.test>: Recipient address rejected") != 1 {
		t.Errorf("Postfix was asked for the unknown one more than once:\n%s", log)
	}
	if got := n.Run("", "domain", "list"); strings.Contains(got, "in vain") {
		t.Errorf("%s", got)
	}
}
