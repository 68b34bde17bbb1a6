package app_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestFewerConnectionsEndIdleOnes: connections without work end when a reply asks for fewer,
// and when the operator allows fewer.
func TestFewerConnectionsEndIdleOnes(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Contains: "many@", Reply: "451 4.7.9 please use two connections"})
	_, port, _ := net.SplitHostPort(mx.Addr)
	var records []string
	for _, c := range "abcd" {
		records = append(records, fmt.Sprintf("%c.test. 60 MX 10 mx-%c.far.test.", c, c), fmt.Sprintf("mx-%c.far.test. 60 A 127.0.0.1", c))
	}
	dns := testkit.StartDNS(t, records...)
	h.put(strings.Replace(h.text(fmt.Sprintf("[outbound]\nport = %s\nidle_timeout = \"5m\"\n", port)), "127.0.0.1:9", dns.Addr, 1))
	s := h.serve()
	defer s.stop()
	tell(t, h, control.ReplyAdd, shaping.Rule{Provider: shaping.Everyone, Times: 1, Do: shaping.Slow, Connections: 2, Wait: "1h", Text: "two connections"})
	for i, c := range "abcd" {
		letterTo(t, h, fmt.Sprintf("x@%c.test", c))
		mx.WaitMessages(i+1, patience)
	}
	ended := func(n int) {
		t.Helper()
		mx.WaitFor(patience, fmt.Sprint(n, " connections that end"), func() bool {
			quits := 0
			for _, said := range mx.Commands() {
				if said.Line == "QUIT" {
					quits++
				}
			}
			return quits >= n
		})
	}
	letterTo(t, h, "many@a.test")
	ended(2)
	tell(t, h, control.OutboundLimit, control.ProviderLimits{Provider: "far.test", Set: map[string]string{"connections": "1"}})
	ended(3)
	if n := mx.Connections(); n != 4 {
		t.Errorf("%d connections were made", n)
	}
}
