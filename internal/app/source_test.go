package app_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/source"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestWarmUpOutlivesARestart: mail leaves from the address of its pool, what its
// warm-up does not allow waits with the reason, after a restart as well, and goes once
// another pool takes it.
func TestWarmUpOutlivesARestart(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	mx := testkit.StartMX(t, testkit.MXOptions{})
	_, port, _ := net.SplitHostPort(mx.Addr)
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A 127.0.0.1")
	h.put(strings.Replace(h.text(fmt.Sprintf("[outbound]\nport = %s\n", port)), "127.0.0.1:9", dns.Addr, 1))
	s := h.serve()
	tell(t, h, control.SourcePoolSet, source.PoolChange{Name: "new", WarmUp: new("2 4")})
	tell(t, h, control.SourceAdd, source.Addition{Pool: "new", Address: "127.0.0.71", EHLO: new("new.here.test"), WarmUp: new(true)})
	tell(t, h, control.SourceRuleSet, source.Rule{Kind: source.Everyone, Pool: "new"})
	letter(t, h)
	letter(t, h)
	mx.WaitMessages(2, patience)
	s.stop()
	s = h.serve()
	defer s.stop()
	letter(t, h)
	var waits string
	testkit.Eventually(t, patience, "a message that waits", func() bool {
		for _, e := range tell(t, h, control.QueueList, control.QueueFilter{All: true}) {
			waits = e.Reply
		}
		return waits != ""
	})
	if !strings.Contains(waits, "of the pool new have sent what their warm-up allows to far.test today: 2; more at ") {
		t.Errorf("it waits for %q", waits)
	}
	plans := tell(t, h, control.SourcePlan, control.SourceQuestion{})
	if len(plans) != 2 || plans[1].Provider != "far.test" || plans[1].Sent != 2 || plans[1].Budget != 2 {
		t.Errorf("plans %+v", plans)
	}
	tell(t, h, control.SourcePoolSet, source.PoolChange{Name: "old"})
	tell(t, h, control.SourceAdd, source.Addition{Pool: "old", Address: "127.0.0.72"})
	tell(t, h, control.SourcePoolSet, source.PoolChange{Name: "new", Overflow: new("old")})
	tell(t, h, control.QueueRetry, control.QueueFilter{All: true})
	mx.WaitMessages(3, patience)
	var from []string
	for _, m := range mx.Messages() {
		from = append(from, m.Peer.Addr().String()+" "+strings.SplitN(m.Helo, ".", 2)[0])
	}
	if got := strings.Join(from, ", "); !strings.HasPrefix(got, "127.0.0.71 new, 127.0.0.71 new, 127.0.0.72 ") || strings.HasSuffix(got, " new") {
		t.Errorf("they came from %s", got)
	}
}

// tell makes a call.
func tell[In, Out any](t *testing.T, h *home, call control.Call[In, Out], in In) Out {
	t.Helper()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	out, err := control.Ask(t.Context(), client, call, in)
	if err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	return out
}
