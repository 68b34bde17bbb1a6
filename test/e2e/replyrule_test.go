package e2e

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// TestReplyRule: what the operator says of a reply holds from the next one on, without
// a restart; the story of the message has the remote's own words and says whose rule
// made them final.
func TestReplyRule(t *testing.T) {
	t.Parallel()
	mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Reply: "450-4.2.1 This Mailbox is\n450 4.2.1 inactive"})
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: mx.Addr})
	n.WaitEvents(n.Submit("before", "x@far.test"), "accepted deferred")
	if told := n.Run("", "outbound", "reply", "add", "permanent", "--provider", "far.test", "--text", "mailbox is inactive"); told != "added reply rule 1\n" {
		t.Errorf("%q", told)
	}
	n.WaitEvents(n.Submit("after", "x@far.test"), "accepted failed bounced")
	events := n.Run("", "outbound", "events", "--provider", "far.test", "--since", "1h")
	if !strings.Contains(events, "far.test  rule   reply rule 1  permanent: 450 4.2.1 This Mailbox is inactive\n") || strings.Count(events, "\n") != 2 {
		t.Errorf("%s", events)
	}
	story := n.Trace("<after@a.test>")
	for _, part := range []string{"450 4.2.1 This Mailbox is", "inactive", "reason      made final by reply rule 1 (set on 20"} {
		if !strings.Contains(story, part) {
			t.Errorf("it lacks %q:\n%s", part, story)
		}
	}
}
