package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// pair is two servers that find each other by a DNS server.
func pair(t *testing.T, queue string) (a, b *node.Node, dns *testkit.DNS) {
	t.Helper()
	a, b = node.Addresses(t, "a.test"), node.Addresses(t, "b.test")
	dns = testkit.StartDNS(t,
		"a.test. 60 MX 10 mx.a.test.", "mx.a.test. 60 A 127.0.0.1",
		"b.test. 60 MX 10 mx.b.test.", "mx.b.test. 60 A 127.0.0.1")
	a.Start(node.Options{Domain: "a.test", DNS: dns, Port: b.SMTP, Queue: queue})
	b.Start(node.Options{Domain: "b.test", DNS: dns, Port: a.SMTP, Queue: queue})
	return a, b, dns
}

func TestTwoServersRelayToEachOther(t *testing.T) {
	t.Parallel()
	a, b, _ := pair(t, "")
	there := a.Submit("there", "alice@b.test", "bob@b.test")
	got := b.WaitInbox("bob", 1)[0]
	for _, part := range []string{"Return-Path: <alice@a.test>\r\n", "Delivered-To: bob@b.test\r\n", "Received: from mx.a.test", "by mx.b.test with ESMTPS id", "Subject: there\r\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("the message lacks %q:\n%s", part, got)
		}
	}
	b.WaitInbox("alice", 1)
	a.WaitEvents(there, "accepted delivered delivered")
	b.WaitEvents(there, "accepted filed filed")
	if story := a.Trace(there); !strings.Contains(story, "mx.b.test") || !strings.Contains(story, "250") || !strings.Contains(story, "TLSv1.3") {
		t.Errorf("the trace does not tell of the host, its words and TLS:\n%s", story)
	}
	back := b.Submit("back", "alice@a.test")
	a.WaitInbox("alice", 1)
	b.WaitEvents(back, "accepted delivered")
	a.WaitQueue("")
	b.WaitQueue("")
}

// parseReport is read by Python's email package, which is not ours.
const parseReport = `
import email, email.policy, sys, json
m = email.message_from_string(sys.argv[1], policy=email.policy.default)
assert m.get_content_type() == "multipart/report", m.get_content_type()
assert m.get_param("report-type") == "delivery-status"
assert not m.defects, m.defects
text, status, original = m.iter_parts()
for part in (text, status, original):
    assert not part.defects, part.defects
groups = [dict(g.items()) for g in status.get_payload()]
print(json.dumps({"text": text.get_content(), "groups": groups, "original": original.as_string()}))
`

func TestUnknownUserAtTheOtherSide(t *testing.T) {
	t.Parallel()
	a, _, _ := pair(t, "")
	id := a.Submit("lost", "nobody@b.test", "bob@b.test")
	got := a.WaitInbox("alice", 1)[0]
	out := node.Python(t, parseReport, got)
	for _, part := range []string{`"Final-Recipient": "rfc822; nobody@b.test"`, `"Action": "failed"`, `"Status": "5.1.1"`,
		`"Remote-MTA": "dns; mx.b.test"`, `550 5.1.1 There is no such mailbox here`, `Subject: lost`} {
		if !strings.Contains(out, part) {
			t.Errorf("the report lacks %s:\n%s", part, out)
		}
	}
	if !strings.Contains(out, "What that means: ") || !strings.Contains(out, "What to do: ") {
		t.Errorf("the report does not explain the reply:\n%s", out)
	}
	if !strings.HasPrefix(got, "Return-Path: <>\r\n") {
		t.Errorf("reverse-path: %.60q", got)
	}
	testkit.Eventually(t, node.Patience, "both fates in the trace", func() bool {
		e := a.Events(id)
		return strings.Contains(e, "delivered") && strings.HasSuffix(e, "bounced")
	})
	if story := a.Trace(id); !strings.Contains(story, "There is no such mailbox here") {
		t.Errorf("the trace lacks the remote's words:\n%s", story)
	}
	a.WaitQueue("")
}

// withMX is a server that relays to a scripted mail exchanger.
func withMX(t *testing.T, o node.Options, mx testkit.MXOptions, rules ...testkit.MXRule) (*node.Node, *testkit.MX, *testkit.DNS) {
	t.Helper()
	far := testkit.StartMX(t, mx, rules...)
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A 127.0.0.1")
	o.DNS, o.Port = dns, far.Addr
	return node.Start(t, o), far, dns
}

func TestTemporaryFailureThenRetry(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Reply: "451 4.7.1 Greylisted, come back", Times: 1})
	id := n.Submit("later", "x@far.test")
	n.WaitEvents(id, "accepted deferred")
	waiting := n.WaitQueue("deferred")[0]
	if waiting.Attempts != 1 || waiting.Code != 451 || !strings.Contains(waiting.Reply, "Greylisted, come back") || waiting.Sender != "alice@a.test" || waiting.Class != "greylisted" {
		t.Errorf("queue: %+v", waiting)
	}
	if story := n.Trace(id); !strings.Contains(story, "451") || !strings.Contains(story, "4.7.1 Greylisted, come back") || !strings.Contains(story, "class       greylisted\n") {
		t.Errorf("the trace lacks the remote's words, or its class:\n%s", story)
	}
	n.Run("", "queue", "retry", "--class", "greylisted")
	far.WaitMessages(1, node.Patience)
	n.WaitEvents(id, "accepted deferred delivered")
	n.WaitQueue("")
}

// Each recipient has its own fate.
func TestFatesPerRecipient(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{},
		testkit.MXRule{Command: "RCPT", Contains: "no@", Reply: "550 5.1.1 No such user"},
		testkit.MXRule{Command: "RCPT", Contains: "full@", Reply: "452 4.2.2 Mailbox full"},
		testkit.MXRule{Command: "RCPT", Contains: "odd@", Reply: "599 What is this"})
	n.Submit("many", "yes@far.test", "no@far.test", "full@far.test", "odd@far.test", "also@far.test")
	got := far.WaitMessages(1, node.Patience)
	if len(got) != 1 || len(got[0].Recipients) != 2 {
		t.Errorf("the remote took %+v", got)
	}
	waiting := n.WaitQueue("deferred")[0]
	if waiting.Recipient != "full@far.test" {
		t.Errorf("waiting: %+v", waiting)
	}
	report := n.WaitInbox("alice", 1)[0]
	for part, want := range map[string]bool{"550 5.1.1 No such user": true, "599 ": true, "Mailbox full": false, "yes@far.test>:": false} {
		if strings.Contains(report, part) != want {
			t.Errorf("report and %q:\n%s", part, report)
		}
	}
}

func TestEncryptionTowardsTheRemote(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{TLS: ca.ServerConfig(t, "another.name.test")})
	id := n.Submit("secret", "x@far.test")
	got := far.WaitMessages(1, node.Patience)
	if !got[0].TLS || got[0].Helo != "mx.a.test" {
		t.Errorf("the message came with TLS %v, as %q", got[0].TLS, got[0].Helo)
	}
	n.WaitEvents(id, "accepted delivered")
	if story := n.Trace(id); !strings.Contains(story, "TLSv1.3") {
		t.Errorf("the trace does not tell of TLS:\n%s", story)
	}
}

// The remote closes after the final dot: nobody knows whether it has the
// message, so it is tried again.
func TestRemoteDropsAfterTheDot(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{}, testkit.MXRule{Command: "END", Drop: true, Times: 1})
	id := n.Submit("dropped", "x@far.test")
	n.WaitEvents(id, "accepted deferred")
	n.Run("", "queue", "retry", "--all")
	far.WaitMessages(1, node.Patience)
	n.WaitEvents(id, "accepted deferred delivered")
}

func TestNullMX(t *testing.T) {
	t.Parallel()
	dns := testkit.StartDNS(t, "never.test. 60 MX 0 .")
	n := node.Start(t, node.Options{DNS: dns})
	id := n.Submit("never", "x@never.test")
	report := n.WaitInbox("alice", 1)[0]
	if !strings.Contains(report, "Status: 5.1.10") || strings.Contains(report, "Remote-MTA") {
		t.Errorf("report:\n%s", report)
	}
	n.WaitEvents(id, "accepted failed bounced")
}

func TestUnknownDomainAndDNSFailure(t *testing.T) {
	t.Parallel()
	dns := testkit.StartDNS(t)
	dns.Fail("broken.test", testkit.DNSServFail)
	n := node.Start(t, node.Options{DNS: dns})
	n.Submit("nowhere", "x@nowhere.test")
	report := n.WaitInbox("alice", 1)[0]
	if !strings.Contains(report, "Status: 5.1.2") {
		t.Errorf("report:\n%s", report)
	}
	id := n.Submit("broken", "x@broken.test")
	n.WaitEvents(id, "accepted deferred")
	n.WaitQueue("deferred")
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	n, _, _ := withMX(t, node.Options{Queue: "retry = [\"1s\"]\nlifetime = \"2s\"\ndelay_notice = \"0\""}, testkit.MXOptions{},
		testkit.MXRule{Command: "MAIL", Reply: "450 4.3.2 Not today"})
	id := n.Submit("old", "x@far.test")
	report := n.WaitInbox("alice", 1)[0]
	if !strings.Contains(report, "Status: 5.4.7") || !strings.Contains(report, "450 4.3.2 Not today") {
		t.Errorf("report:\n%s", report)
	}
	events := n.Events(id)
	if !strings.HasPrefix(events, "accepted deferred") || !strings.HasSuffix(events, "deferred expired bounced") {
		t.Errorf("events: %s", events)
	}
	n.WaitQueue("")
}

func TestDelayNotice(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{Queue: "retry = [\"1s\"]\ndelay_notice = \"1s\""}, testkit.MXOptions{},
		testkit.MXRule{Command: "MAIL", Reply: "450 4.3.2 Not now"})
	id := n.Submit("slow", "x@far.test")
	report := ""
	// The reporter looks for late mail twice a minute.
	testkit.Eventually(t, 2*node.Patience, "the notice", func() bool {
		if got := n.Inbox("alice"); len(got) == 1 {
			report = got[0]
		}
		return report != ""
	})
	for _, part := range []string{"Action: delayed", "Status: 4.3.2", "Will-Retry-Until: ", "450 4.3.2 Not now"} {
		if !strings.Contains(report, part) {
			t.Errorf("notice lacks %q:\n%s", part, report)
		}
	}
	far.SetRules()
	far.WaitMessages(1, node.Patience)
	n.WaitQueue("")
	if got := n.Inbox("alice"); len(got) != 1 {
		t.Errorf("%d notices:\n%s", len(got), strings.Join(got, "\n"))
	}
	if events := n.Events(id); strings.Count(events, "delayed") != 1 || !strings.HasSuffix(events, "delivered") {
		t.Errorf("events: %s", events)
	}
}

func TestQueueByCommandLine(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{Queue: "hold = true"}, testkit.MXOptions{})
	ids := map[string]string{}
	for _, name := range []string{"one", "two", "three", "four"} {
		ids[name] = n.Submit(name, name+"@far.test")
	}
	n.Submit("local", "bob@a.test") // is not held
	n.WaitInbox("bob", 1)
	message := map[string]string{}
	for _, r := range n.WaitQueue("held held held held") {
		message[r.Recipient] = r.Message
	}
	if show := n.Run("", "queue", "show", message["one@far.test"]); !strings.Contains(show, "Subject: one") || !strings.Contains(show, "held") {
		t.Errorf("queue show:\n%s", show)
	}
	n.Run("", "queue", "release", message["one@far.test"])
	if got := far.WaitMessages(1, node.Patience); got[0].Recipients[0].Address != "one@far.test" {
		t.Errorf("released: %+v", got[0].Recipients)
	}
	n.WaitEvents(ids["one"], "accepted released delivered")
	n.Run("", "queue", "delete", message["two@far.test"])
	n.WaitEvents(ids["two"], "accepted deleted")
	n.Run("", "queue", "bounce", message["three@far.test"])
	n.WaitEvents(ids["three"], "accepted failed bounced")
	n.WaitInbox("alice", 1)
	n.WaitQueue("held")
	far.SetRules(testkit.MXRule{Command: "MAIL", Reply: "450 4.3.2 Busy"})
	n.Run("", "queue", "release", "--domain", "far.test")
	n.WaitQueue("deferred")
	n.Run("", "queue", "hold", "--sender", "alice@a.test")
	n.WaitQueue("held")
	far.SetRules()
	n.Run("", "queue", "release", "--all")
	far.WaitMessages(2, node.Patience)
	n.WaitQueue("")
	for _, args := range [][]string{{"queue", "show", message["one@far.test"]}, {"queue", "retry", message["two@far.test"]}, {"trace", "<none@a.test>"}} {
		if r := n.Hayauma("", args...); r.Code != 1 || strings.Count(strings.TrimSpace(r.Stderr), "\n") != 0 || r.Stderr == "" {
			t.Errorf("%v: exit %d, %q", args, r.Code, r.Stderr)
		}
	}
	if r := n.Hayauma("", "queue", "retry"); r.Code != 2 {
		t.Errorf("queue retry without a choice: exit %d, %q", r.Code, r.Stderr)
	}
}

// Mail that was accepted survives a restart and goes on.
func TestQueueSurvivesARestart(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{}, testkit.MXRule{Command: "MAIL", Reply: "450 4.3.2 Not now"})
	id := n.Submit("kept", "x@far.test")
	n.WaitEvents(id, "accepted deferred")
	if err := n.Stop(); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	if got := n.Queue(); len(got) != 1 { // the command line opens the stores itself
		t.Errorf("queue of the stopped server: %+v", got)
	}
	far.SetRules()
	n.Server = n.Again()
	n.Run("", "queue", "retry", "--all")
	far.WaitMessages(1, node.Patience)
	n.WaitEvents(id, "accepted deferred delivered")
}

// A pipe between a group here and an address elsewhere.
func TestAliasElsewhere(t *testing.T) {
	t.Parallel()
	n, far, _ := withMX(t, node.Options{}, testkit.MXOptions{})
	n.Run("", "alias", "add", "both@a.test", "bob@a.test", "me@far.test")
	swaks := testkit.Require(t, "swaks")
	node.Program(t, node.Job{}, swaks, "--server", n.SMTP, "--from", "x@elsewhere.test", "--to", "both@a.test", "--header", "Subject: for both")
	got := far.WaitMessages(1, node.Patience)
	if got[0].From != "x@elsewhere.test" || len(got[0].Recipients) != 1 || got[0].Recipients[0].Address != "me@far.test" {
		t.Errorf("forwarded: %+v", got[0])
	}
	n.WaitInbox("bob", 1)
	out := node.Program(t, node.Job{Fails: true}, swaks, "--server", n.SMTP, "--from", "x@elsewhere.test", "--to", "you@far.test")
	if !strings.Contains(out, "550 5.7.1") {
		t.Errorf("relaying for strangers: %s", out)
	}
	if r := fmt.Sprint(len(far.Messages())); r != "1" {
		t.Errorf("%s messages at the remote", r)
	}
}
