package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/node"
)

// TestSlowPeersHoldNoMemory: who begins more messages than there is memory for, and
// does not go on with them, keeps nobody's mail out.
func TestSlowPeersHoldNoMemory(t *testing.T) {
	t.Parallel()
	n := node.Start(t, node.Options{})
	begin := func() *talk {
		c := dial(t, n.SMTP, "")
		c.say("EHLO client.test", "250 ")
		c.say("MAIL FROM:<a@sender.test>", "250")
		c.say("RCPT TO:<alice@"+n.Domain+">", "250")
		c.say("DATA", "354")
		return c
	}
	// limits.memory_in_flight is 64 MB: less than these have begun to send.
	most := "Subject: held\r\n\r\n" + strings.Repeat(strings.Repeat("x", 998)+"\r\n", 1000)
	for range 70 {
		c := begin()
		go func() { _, _ = c.conn.Write([]byte(most)) }() // the server stops reading, or hangs up
	}
	honest := begin()
	begun := time.Now()
	honest.send("Subject: honest\r\n\r\nx\r\n.\r\n")
	if got := honest.line(); !strings.HasPrefix(got, "250 2.0.0 Accepted") {
		t.Errorf("after %v: %s", time.Since(begun), got)
	}
	// As soon as nothing waits any more, memory is not held for them either.
	for range 20 {
		send(t, n, 1)
	}
	t.Logf("after %v", time.Since(begun))
}
