package e2e

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// TestRestIsTakenBack: what a rate or a rule held back goes when the operator takes it
// back; the list says why it waits until then.
func TestRestIsTakenBack(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{})
	waits := func(id, why string) {
		t.Helper()
		testkit.Eventually(t, node.Patience, why, func() bool {
			list := n.Run("", "queue", "list", "--state", "queued")
			return strings.Contains(list, "before") && strings.Contains(list, why)
		})
		if got := n.Events(id); got != "accepted" {
			t.Errorf("events: %s", got)
		}
	}
	n.Run("", "outbound", "limit", "*", "--rate", "1/h")
	n.WaitEvents(n.Submit("first", "x@far.test"), "accepted delivered")
	second := n.Submit("second", "x@far.test")
	waits(second, "its rate of 1 in 1h0m0s is used up")
	n.Run("", "queue", "retry", "--all")
	waits(second, "its rate of 1 in 1h0m0s is used up")
	n.Run("", "outbound", "limit", "*", "--unset", "rate")
	n.WaitEvents(second, "accepted delivered")

	far.SetRules(testkit.MXRule{Command: "RCPT", Contains: "slow@", Reply: "450 4.7.0 slowly please"})
	n.Run("", "outbound", "reply", "add", "pause", "--for", "1h", "--text", "slowly")
	n.WaitEvents(n.Submit("third", "slow@far.test"), "accepted deferred")
	fourth := n.Submit("fourth", "x@far.test")
	waits(fourth, "reply rule 1")
	n.Run("", "outbound", "reply", "remove", "1")
	n.WaitEvents(fourth, "accepted delivered")
}
