package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// TestRoutes: rules choose a route while the server runs; a host that is down is passed
// over; the rules are there after a restart.
func TestRoutes(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{})
	relay, backup, other := testkit.StartMX(t, testkit.MXOptions{}), testkit.StartMX(t, testkit.MXOptions{}), testkit.StartMX(t, testkit.MXOptions{})
	n.Run("", "route", "set", "relay", "--tls", "none", "--host", relay.Addr, "--host", backup.Addr+",10")
	n.Run("", "route", "set", "other", "--tls", "none", "--host", other.Addr)
	n.Run("", "route", "rule", "set", "--everyone", "--to", "relay")
	n.Run("", "route", "rule", "set", "--account", "alice@a.test", "--to", "other")
	n.Run("", "route", "rule", "set", "--recipient", "*.far.test", "--to", "relay")
	n.Run("", "route", "rule", "set", "--recipient", "far.test", "--to", "mx")
	for _, c := range []struct {
		subject, to string
		at          *testkit.MX
	}{
		{"exact", "x@far.test", far},
		{"below", "x@sub.far.test", relay},
		{"all", "x@elsewhere.test", relay}, // 'hayauma send' is nobody's login
	} {
		had := len(c.at.Messages())
		id := n.Submit(c.subject, c.to)
		n.WaitEvents(id, "accepted delivered")
		if got := c.at.Messages(); len(got) != had+1 {
			t.Errorf("%s: %d messages, want %d", c.subject, len(got), had+1)
		}
	}
	for _, c := range []struct{ from, rule, by string }{
		{"alice@a.test", "mail of the account alice@a.test", "route other"},
		{"bob@a.test", "all other mail", "route relay"},
		{"<>", "all other mail", "route relay"},
	} {
		got := n.Run("", "outbound", "explain", "x@elsewhere.test", "--from", c.from)
		for _, part := range []string{"by      " + c.by + "\n", "rule    " + c.rule + "\n", "with    route:"} {
			if !strings.Contains(got, part) {
				t.Errorf("from %q: no %q in\n%s", c.from, part, got)
			}
		}
	}
	n.Run("", "outbound", "limit", "route:relay", "--connections", "2")
	for _, args := range [][]string{{"route", "remove", "relay"}, {"route", "rule", "set", "--everyone", "--to", "nowhere"}, {"route", "rule", "remove", "--sender", "x.test"}} {
		if r := n.Hayauma("", args...); r.Code != 1 || r.Stderr == "" {
			t.Errorf("%v: exit %d, %q", args, r.Code, r.Stderr)
		}
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n.Server = n.Again()
	relay.SetRules(testkit.MXRule{Command: "CONNECT", Reply: "421 4.3.2 not now", Hangup: true})
	id := n.Submit("failover", "x@elsewhere.test")
	n.WaitEvents(id, "accepted delivered")
	if len(backup.Messages()) != 1 {
		t.Errorf("the other host of the route has %d messages", len(backup.Messages()))
	}
}

// TestARefusedLoginIsTriedByOne: a wrong password costs one login now and then, whatever waits;
// it is told, and a right one is used at once.
func TestARefusedLoginIsTriedByOne(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	far := testkit.StartMX(t, testkit.MXOptions{Auth: true, TLS: ca.ServerConfig(t, "localhost", "127.0.0.1")}, testkit.MXRule{Command: "AUTH", Reply: "535 5.7.8 Authentication credentials invalid"})
	cert, _ := ca.Files(t, "localhost")
	n := node.Start(t, node.Options{DNS: testkit.StartDNS(t, "localhost. 60 A 127.0.0.1"), Port: far.Addr,
		Env: []string{"SSL_CERT_FILE=" + filepath.Join(filepath.Dir(cert), "ca.pem")}})
	set := func(password string) {
		n.Run(password+"\n", "route", "set", "hub", "--tls", "starttls", "--host", "localhost:"+node.PortOf(far.Addr), "--user", "us", "--password-stdin")
	}
	set("wrong")
	n.Run("", "route", "rule", "set", "--everyone", "--to", "hub")
	const messages = 30
	for range messages {
		n.Submit("hello", "x@far.test")
	}
	n.WaitQueue(strings.TrimSpace(strings.Repeat("deferred ", messages)))
	if c := far.Connections(); c > 6 { // some workers may begin together
		t.Errorf("%d connections for %d messages", c, messages)
	}
	const told = "refuses our login: 535 5.7.8 Authentication credentials invalid"
	for _, args := range [][]string{{"queue", "list", "--json"}, {"outbound", "events"}} {
		if got := n.Run("", args...); !strings.Contains(got, told) {
			t.Errorf("%v: no %q in\n%s", args, told, got)
		}
	}
	far.SetRules()
	set("right")
	far.WaitMessages(messages, node.Patience)
}

// TestReroute: what waits for a destination that is down leaves by a route, with its
// domain given; the trace tells of it.
func TestReroute(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{}, testkit.MXRule{Command: "MAIL", Reply: "450 4.3.2 Not now"})
	relay := testkit.StartMX(t, testkit.MXOptions{})
	n.Run("", "route", "set", "relay", "--tls", "none", "--host", relay.Addr)
	id := n.Submit("stuck", "x@far.test")
	n.WaitEvents(id, "accepted deferred")
	if got := n.Run("", "queue", "reroute", "--domain", "far.test", "--to", "relay", "--dry-run"); got != "1 recipient would have another way; nothing was changed\n" {
		t.Errorf("dry run: %s", got)
	}
	n.Run("", "queue", "hold", "--all")
	n.Run("", "queue", "reroute", "--domain", "far.test", "--to", "relay")
	if r := n.Hayauma("", "route", "remove", "relay"); r.Code != 1 || !strings.Contains(r.Stderr, "goes by this route, to 1 recipients") {
		t.Errorf("remove: exit %d, %q", r.Code, r.Stderr)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	n.Server = n.Again()
	n.Run("", "queue", "release", "--route", "relay")
	relay.WaitMessages(1, node.Patience)
	n.WaitEvents(id, "accepted deferred held rerouted released delivered")
	if story := n.Trace(id); !strings.Contains(story, "to route:relay") {
		t.Errorf("the trace:\n%s", story)
	}
	if got := far.Messages(); len(got) != 0 {
		t.Errorf("the first way got %d messages", len(got))
	}
	n.Run("", "route", "remove", "relay")
	for _, args := range [][]string{{"queue", "reroute", "--all", "--to", "nowhere"}, {"queue", "reroute", id, "--to", "mx"}} {
		if r := n.Hayauma("", args...); r.Code == 0 || r.Stderr == "" {
			t.Errorf("%v: exit %d, %q", args, r.Code, r.Stderr)
		}
	}
}

// TestLMTPRoute: mail for a domain elsewhere goes to the LMTP door of another server, and
// each recipient has an answer of its own.
func TestLMTPRoute(t *testing.T) {
	t.Parallel()
	a, b, _ := pair(t, "")
	b.Run("", "account", "set", "bob@b.test", "--quota", "1")
	a.Run("", "route", "set", "store", "--kind", "lmtp", "--tls", "none", "--host", b.LMTP)
	a.Run("", "route", "rule", "set", "--recipient", "b.test", "--to", "store")
	id := a.Submit("by LMTP", "alice@b.test", "bob@b.test", "nobody@b.test")
	if got := b.WaitInbox("alice", 1)[0]; !strings.Contains(got, "by mx.b.test with LMTP id") {
		t.Errorf("alice has:\n%s", got)
	}
	a.WaitQueue("")
	story := a.Trace(id)
	for _, part := range []string{"delivered alice@b.test", "failed nobody@b.test", "failed bob@b.test"} {
		if !strings.Contains(story, part) {
			t.Errorf("no %q in\n%s", part, story)
		}
	}
}

// TestWebHook: the receiver that stands in the guide takes a message, and refuses one
// with another secret, which waits.
func TestWebHook(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/guide/routes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, _ := strings.Cut(string(guide), "```python\n")
	script, _, found := strings.Cut(script, "```\n")
	if !found {
		t.Fatal("the guide has no receiver")
	}
	addr := testkit.FreePorts(t, 1)[0]
	script = strings.ReplaceAll(strings.Replace(script, "8080", node.PortOf(addr), 1), "127.0.0.1", node.HostOf(addr))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testkit.Require(t, "/usr/bin/python3"), "-c", script)
	cmd.Dir = dir
	var said, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the receiver: %s", complaints.String())
		}
	})
	t.Cleanup(end)
	n := node.Start(t, node.Options{})
	n.Run("s3cret\n", "route", "set", "hook", "--kind", "http", "--url", "http://"+addr+"/", "--auth", "hmac", "--password-stdin")
	n.Run("", "route", "rule", "set", "--recipient", "hook.test", "--to", "hook")
	id := n.Submit("for a program", "x@hook.test", "y@hook.test")
	testkit.Eventually(t, node.Patience, "the delivery", func() bool {
		if strings.HasPrefix(n.Events(id), "accepted deferred") { // it was not there yet
			n.Run("", "queue", "retry", "--all")
		}
		return strings.Count(n.Events(id), "delivered") == 2
	})
	if list := n.Run("", "route", "list") + n.Run("", "route", "list", "--json"); strings.Contains(list, "s3cret") || !strings.Contains(list, addr) {
		t.Errorf("the list: %s", list)
	}
	n.Run("wrong\n", "route", "set", "hook", "--kind", "http", "--url", "http://"+addr+"/", "--auth", "hmac", "--password-stdin")
	id = n.Submit("with another secret", "z@hook.test")
	n.WaitEvents(id, "accepted deferred")
	if story := n.Trace(id); !strings.Contains(story, "The web hook answers 401") {
		t.Errorf("the trace:\n%s", story)
	}
	end()
	for _, to := range []string{"x", "y"} {
		if !strings.Contains(said.String(), "alice@a.test -> "+to+"@hook.test ") {
			t.Errorf("it said %q", said.String())
		}
	}
	if strings.Contains(said.String(), "z@hook.test") {
		t.Errorf("it took what was not signed: %q", said.String())
	}
}
