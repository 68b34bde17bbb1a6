package interop

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// TestPostfixBounces: Postfix takes a message and finds later that it cannot be
// delivered, since the next host, which is ours again, refuses it. Its report is matched to the message by its return path, or by what it
// returns of it, and the sender gets it.
func TestPostfixBounces(t *testing.T) {
	t.Parallel()
	for mode, source := range map[string]string{"unique": "report", "verp": "report", "sender": "report, by Message-ID"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			addr := testkit.FreePort(t)
			dns := testkit.StartDNS(t, "p.test. 60 MX 10 mx.postfix.test.", "mx.postfix.test. 60 A 127.0.0.1")
			n := node.Start(t, node.Options{DNS: dns, Port: addr, Way: "return_path = \"" + mode + "\""})
			startPostfix(t, addr, `relay_domains = p.test
transport_maps = inline:{ {p.test = lmtp:inet:`+n.LMTP+`} {a.test = smtp:[`+node.HostOf(n.SMTP)+`]:`+node.PortOf(n.SMTP)+`} }`)
			id := n.Submit("late", "x@p.test", "y@p.test")
			reports := 1
			if mode == "verp" {
				reports = 2
			}
			for _, got := range n.WaitInbox("alice", reports) {
				if !strings.HasPrefix(got, "Return-Path: <>\r\n") || !strings.Contains(got, "report-type=delivery-status") {
					t.Errorf("alice got\n%s", got)
				}
			}
			testkit.Eventually(t, node.Patience, "both failures in the trace", func() bool {
				return strings.Count(n.Events(id), "returned") == 2
			})
			story := n.Trace(id)
			for _, part := range []string{"returned x@p.test", "returned y@p.test", "5.7.1", "We do not relay for strangers", "source      " + source + "\n"} {
				if !strings.Contains(story, part) {
					t.Errorf("the trace lacks %q:\n%s", part, story)
				}
			}
		})
	}
}
