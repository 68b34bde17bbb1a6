package interop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// Postfix bears only so much of one client: connections at once, connections and
// messages in two seconds. We heed what it says of that, and everything arrives once.
func TestPostfixBearsLess(t *testing.T) {
	t.Parallel()
	const messages = 60
	for name, c := range map[string]struct {
		limit, reply string
		refusals     int // at most
	}{
		"at once":     {"smtpd_client_connection_count_limit = 2", "421 4.7.0 mx.postfix.test Error: too many connections from", messages},
		"connections": {"smtpd_client_connection_rate_limit = 3", "421 4.7.0 mx.postfix.test Error: too many connections from", messages},
		"messages":    {"smtpd_client_message_rate_limit = 20", "450 4.7.1 Error: too much mail from", 10 * messages},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := testkit.FreePort(t)
			dns := testkit.StartDNS(t, "p.test. 60 MX 10 mx.postfix.test.", "mx.postfix.test. 60 A 127.0.0.1")
			n := node.Start(t, node.Options{DNS: dns, Port: addr, Queue: "hold = true\nretry = [\"1s\"]", Way: "messages_per_connection = 10"})
			p := startPostfix(t, addr, `virtual_alias_domains = p.test
virtual_alias_maps = static:bob@a.test
virtual_mailbox_domains = a.test
virtual_transport = lmtp:inet:`+n.LMTP+`
smtpd_recipient_restrictions = permit_mynetworks, reject
anvil_rate_time_unit = 2s
smtpd_client_event_limit_exceptions =
`+c.limit)
			for i := range messages {
				n.Submit(fmt.Sprintf("load-%d", i), "x@p.test")
			}
			n.Run("", "queue", "release", "--all")
			// A door that is closed is knocked at again after half a minute, some times in turn.
			testkit.Eventually(t, 6*node.Patience, "an empty queue", func() bool { return len(n.Queue()) == 0 })
			testkit.Eventually(t, node.Patience, "the end of the queue of Postfix", func() bool {
				return strings.Count(p.log(), ": removed\n") >= messages
			})
			seen := map[string]int{}
			for _, got := range n.WaitInbox("bob", messages) {
				seen[regexp.MustCompile(`Subject: load-\d+\r\n`).FindString(got)]++
			}
			if len(seen) != messages {
				t.Errorf("%d of %d messages: %v", len(seen), messages, seen)
			}
			if n := strings.Count(p.log(), "limit exceeded: "); n == 0 || n > c.refusals {
				t.Errorf("it said %d times that it was too much for %d messages, want 1 to %d", n, messages, c.refusals)
			}
			if said := n.Log(); !strings.Contains(said, "a provider gets fewer connections") || !strings.Contains(said, c.reply[len("421 4.7.0 "):]) {
				t.Error("it was not heard")
			}
			said := ""
			for i := range messages {
				said += n.Trace(fmt.Sprintf("<load-%d@a.test>", i))
			}
			// Whose connection was one too many waits for one of the others, and was not tried.
			if name != "at once" && !strings.Contains(said, c.reply) {
				t.Errorf("no trace has %q:\n%s", c.reply, said)
			}
		})
	}
}
