package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/load"
	"github.com/hayauma/hayauma/test/node"
)

const (
	idlers     = 5000
	mostMemory = 120 << 20
	rounds     = 5
	perRound   = 100 // messages
	// leastSpeed is how much of a sender's speed has to be left. It costs nothing
	// that can be measured where the machine is quiet; others may use ours.
	leastSpeed = 0.6
)

// TestIdleSessions: thousands of sessions that say nothing more cost little memory,
// and do not slow down who has something to send.
func TestIdleSessions(t *testing.T) {
	n := node.Start(t, node.Options{})
	n.Server = n.Restart() // what hashing the passwords of its users took is given back
	send(t, n, perRound)   // what is done once is done
	before := resident(t, n)
	most := int64(0)
	var alone, among []float64
	for range rounds {
		alone = append(alone, send(t, n, perRound))
		open := crowd(t, n.SMTP)
		among = append(among, send(t, n, perRound))
		most = max(most, resident(t, n))
		for _, c := range open {
			_ = c.Close() // nothing is to be said
		}
	}
	t.Logf("%d idle sessions: %d MiB resident, %d before", idlers, most>>20, before>>20)
	if most > mostMemory {
		t.Errorf("%d idle sessions take %d MiB, more than %d", idlers, most>>20, mostMemory>>20)
	}
	// The best of some rounds is what it can do: whatever else runs takes its share of
	// the others.
	ratio := slices.Max(among) / slices.Max(alone)
	t.Logf("%.0f messages a second alone, %.0f among %d idle sessions: %.2f of it", slices.Max(alone), slices.Max(among), idlers, ratio)
	if ratio < leastSpeed {
		t.Errorf("a sender among %d idle sessions has %.2f of its speed, alone %.0f, among them %.0f", idlers, ratio, alone, among)
	}
}

// resident is the memory of the server.
func resident(t *testing.T, n *node.Node) int64 {
	t.Helper()
	u, err := load.ReadUsage(n.Pid())
	if err != nil {
		t.Fatal(err)
	}
	return u.RSS
}

// crowd opens the idle sessions: each has heard the reply to its EHLO.
func crowd(t *testing.T, addr string) []net.Conn {
	t.Helper()
	open := make([]net.Conn, idlers)
	var opening sync.WaitGroup
	places := make(chan struct{}, 50)
	for i := range open {
		places <- struct{}{}
		opening.Go(func() {
			defer func() { <-places }()
			c, err := greeted(t, addr)
			if err != nil {
				t.Errorf("session %d: %v", i, err)
			}
			open[i] = c
		})
	}
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() {
		for _, c := range open {
			_ = c.Close() // closed already by most rounds
		}
	})
	return open
}

// greeted opens a session up to the reply to EHLO.
func greeted(t *testing.T, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: node.Patience}
	c, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(node.Patience)); err != nil {
		return c, err
	}
	if _, err := c.Write([]byte("EHLO idle.test\r\n")); err != nil {
		return c, err
	}
	var heard strings.Builder
	for !strings.Contains(heard.String(), "\r\n250 ") {
		b := make([]byte, 1024)
		n, err := c.Read(b)
		if err != nil {
			return c, fmt.Errorf("heard %q: %w", heard.String(), err)
		}
		heard.Write(b[:n])
	}
	return c, nil
}

// send delivers messages one after the other and returns how many a second.
func send(t *testing.T, n *node.Node, messages int) float64 {
	t.Helper()
	c := dial(t, n.SMTP, "")
	c.say("EHLO sender.test", "250")
	begun := time.Now()
	for range messages {
		c.say("MAIL FROM:<a@sender.test>", "250")
		c.say("RCPT TO:<alice@"+n.Domain+">", "250")
		c.say("DATA", "354")
		c.say("Subject: one of many\r\n\r\nx\r\n.", "250")
	}
	speed := float64(messages) / time.Since(begun).Seconds()
	c.say("QUIT", "221")
	return speed
}
