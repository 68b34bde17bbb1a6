package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// TestWhyNothingMoves: of each recipient that waits the list says why, as
// docs/guide/queue.md does.
func TestWhyNothingMoves(t *testing.T) {
	t.Parallel()
	far := testkit.StartMX(t, testkit.MXOptions{Addr: loopback(21) + ":" + node.PortOf(testkit.FreePort(t))})
	far.SetRules(testkit.MXRule{Command: "RCPT", Contains: "later@", Reply: "451 4.2.1 Not now"},
		testkit.MXRule{Command: "RCPT", Contains: "long@", Stall: true})
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A "+loopback(21),
		"down.test. 60 MX 10 mx.down.test.", "mx.down.test. 60 A "+loopback(22))
	n := node.Start(t, node.Options{DNS: dns, Port: far.Addr, Way: "concurrency = 1\nper_destination = 1"})

	envelope := filepath.Join(t.TempDir(), "envelope.json")
	if err := os.WriteFile(envelope, fmt.Appendf(nil, `{"from": "alice@a.test", "hold_until": %q, "recipients": [{"address": "time@far.test"}]}`,
		time.Now().Add(time.Hour).Format(time.RFC3339)), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Run("Subject: x\n\nx\n", "send", "--envelope", envelope)
	n.Submit("later", "later@far.test")
	n.Submit("down", "x@down.test")
	n.WaitQueue("queued deferred deferred")
	n.Submit("long", "long@far.test")
	n.WaitQueue("queued deferred deferred leased")
	n.Submit("behind", "behind@other.test")
	want := map[string]string{
		"time@":   "its time has not come",
		"later@":  "a temporary failure",
		"x@":      "its destination cannot be reached; one message tries it again at 20",
		"long@":   "an attempt is under way",
		"behind@": ": all 1 workers are busy (outbound.concurrency)",
	}
	compare := func(want map[string]string) {
		t.Helper()
		var list []struct{ Recipient, Why, Next, Reply, State string }
		if err := json.Unmarshal([]byte(n.Run("", "queue", "list", "--json")), &list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			name, _, _ := strings.Cut(r.Recipient, "@")
			if part, ok := want[name+"@"]; ok && !strings.Contains(r.Why, part) {
				t.Errorf("%s, %s: %q, want %q", r.Recipient, r.State, r.Why, part)
			}
			delete(want, name+"@")
			if r.State == "deferred" && (r.Next == "" || r.Reply == "") {
				t.Errorf("%s is deferred until %q because of %q", r.Recipient, r.Next, r.Reply)
			}
		}
		if len(want) > 0 {
			t.Errorf("not in the list: %v", want)
		}
	}
	compare(want)
	n.Run("", "queue", "hold", "--domain", "far.test", "--state", "deferred")
	compare(map[string]string{"later@": "held by the operator"})
	n.Kill()
	compare(map[string]string{"later@": "held by the operator", "time@": "its time has not come", "long@": "the queue does not run", "behind@": "the queue does not run"})
}
