package e2e

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// TestSchedule: retry times of a sender hold without a restart; what provider and sender
// ask for both holds the longer way.
func TestSchedule(t *testing.T) {
	t.Parallel()
	mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Reply: "450 4.2.1 Come again"})
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "slow.test. 60 MX 10 mx.slow.test.", "mx.far.test. 60 A 127.0.0.1", "mx.slow.test. 60 A 127.0.0.1")
	n := node.Start(t, node.Options{DNS: dns, Port: mx.Addr})
	n.Run("", "queue", "schedule", "set", "tenant:main", "--retry", "5s", "--lifetime", "8s")
	n.Run("", "outbound", "limit", "slow.test", "--retry", "1h")
	begun := n.Submit("often", "x@far.test")
	n.Submit("once", "x@slow.test")
	n.WaitEvents(begun, "accepted deferred deferred expired bounced")
	if tries := strings.Count(n.Trace("<once@a.test>"), "deferred x@slow.test"); tries != 1 {
		t.Errorf("tried %d times where the provider wants an hour between", tries)
	}
}

// TestScheduleOfARelayDomain: what waits for the host of a relay domain is kept as long as is
// said of the domain, and longer once that is said.
func TestScheduleOfARelayDomain(t *testing.T) {
	t.Parallel()
	nowhere := testkit.FreePort(t)
	n := node.Start(t, node.Options{})
	n.Run("", "domain", "add", "branch.test", "--relay", "--to", nowhere, "--recipients", "any")
	n.Run("", "queue", "schedule", "set", "domain:branch.test", "--retry", "2s", "--lifetime", "14d")
	n.Run("", "queue", "schedule", "set", "stream:main", "--lifetime", "2s") // what is said of the domain goes first
	begun := n.Submit("keep", "x@branch.test")
	n.WaitEvents(begun, "accepted deferred deferred deferred")
	n.Run("", "queue", "schedule", "set", "domain:branch.test", "--retry", "2s", "--lifetime", "1s")
	testkit.Eventually(t, node.Patience, "the end of a shorter lifetime", func() bool {
		return strings.HasSuffix(n.Events(begun), "deferred expired bounced")
	})
}
