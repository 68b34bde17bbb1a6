package e2e

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// strangers sends a message to some recipients as anybody on the Internet would, and
// returns the codes of those who are refused: "nobody@b.test 550".
func strangers(t *testing.T, n *node.Node, subject string, to ...string) string {
	t.Helper()
	out := node.Python(t, `
import smtplib, sys
host, port, subject, to = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
c = smtplib.SMTP(host, port)
try:
    refused = c.sendmail("x@elsewhere.test", to, "From: x@elsewhere.test\r\nSubject: %s\r\nMessage-ID: <%s@elsewhere.test>\r\n\r\nHello\r\n" % (subject, subject))
except smtplib.SMTPRecipientsRefused as e:
    refused = e.recipients
print(" ".join("%s %d" % (r, refused[r][0]) for r in to if r in refused))
`, append([]string{node.HostOf(n.SMTP), node.PortOf(n.SMTP), subject}, to...)...)
	return strings.TrimSpace(out)
}

// A backup MX knows who is there, keeps mail while the primary is down, and brings it
// when it is up again.
func TestBackupMX(t *testing.T) {
	t.Parallel()
	backup, primary := node.Addresses(t, "a.test"), node.Addresses(t, "b.test")
	dns := testkit.StartDNS(t, "b.test. 60 MX 10 mx.b.test.", "b.test. 60 MX 20 mx.a.test.", "mx.a.test. 60 A 127.0.0.1", "mx.b.test. 60 A 127.0.0.1")
	backup.Start(node.Options{Domain: "a.test", DNS: dns, Port: primary.SMTP})
	backup.Run("", "domain", "add", "b.test", "--relay")
	backup.Run("alice@b.test\nbob@b.test\n", "domain", "recipient", "import", "b.test")
	if got := strangers(t, backup, "kept", "alice@b.test", "nobody@b.test", "bob+tag@b.test"); got != "nobody@b.test 550" {
		t.Errorf("refused: %s", got)
	}
	testkit.Eventually(t, node.Patience, "an attempt at the primary", func() bool {
		list := backup.Queue()
		return len(list) == 2 && list[0].Attempts > 0
	})
	if got := backup.Run("", "outbound", "explain", "alice@b.test"); !strings.Contains(got, "recipients from its list; to by MX") ||
		!strings.Contains(got, "mx.b.test (preference 10)") || strings.Contains(got, "(preference 20)") || !strings.Contains(got, "down ") {
		t.Errorf("explained:\n%s", got)
	}
	primary.Start(node.Options{Domain: "b.test", DNS: dns, Port: backup.SMTP})
	backup.Run("", "queue", "retry", "--domain", "b.test")
	for _, user := range []string{"alice", "bob"} {
		if got := primary.WaitInbox(user, 1)[0]; !strings.Contains(got, "Return-Path: <x@elsewhere.test>") || !strings.Contains(got, "Received: from mx.a.test") {
			t.Errorf("%s has:\n%s", user, got)
		}
	}
	backup.WaitQueue("")
	if got := backup.Events("<kept@elsewhere.test>"); !strings.HasSuffix(got, "deferred delivered delivered") {
		t.Errorf("its history: %s", got)
	}
}

// router passes connections on to an address, as the router of a private network does that
// has its public one.
func router(t *testing.T, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			inside, err := net.Dial("tcp", to)
			if err != nil {
				_ = outside.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{outside, inside}, {inside, outside}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
	return l.Addr().String()
}

// A backup MX finds itself where DNS has another name for it and the address of its router:
// it keeps what is for a primary that is down, and asks itself for nobody.
func TestBackupMXBehindARouter(t *testing.T) {
	t.Parallel()
	backup := node.Addresses(t, "a.test")
	public := router(t, backup.SMTP)
	dns := testkit.StartDNS(t, "b.test. 60 MX 10 mx1.b.test.", "b.test. 60 MX 20 mx2.b.test.", "mx1.b.test. 60 A 127.0.0.9", "mx2.b.test. 60 A 127.0.0.2")
	backup.Start(node.Options{Domain: "a.test", DNS: dns, Port: public})
	backup.Run("", "domain", "add", "b.test", "--relay", "--recipients", "ask")
	backup.Run("alice@b.test\n", "domain", "recipient", "import", "b.test")
	if got := strangers(t, backup, "kept", "alice@b.test", "bob@b.test"); got != "bob@b.test 450" {
		t.Errorf("refused: %s", got)
	}
	testkit.Eventually(t, node.Patience, "an attempt", func() bool {
		list := backup.Queue()
		return len(list) == 1 && list[0].Attempts > 0
	})
	if got := backup.Trace("<kept@elsewhere.test>"); strings.Count(got, "  accepted\n") != 1 || !strings.Contains(got, "deferred alice@b.test\n    host        mx1.b.test") ||
		!strings.Contains(got, "mx2.b.test[127.0.0.2]:"+node.PortOf(public)+" answers with the name of this server") {
		t.Errorf("its history:\n%s", got)
	}
}

// A gateway that asks knows by a restart whom it has asked for.
func TestGatewayAsks(t *testing.T) {
	t.Parallel()
	gateway, inside := node.Start(t, node.Options{Domain: "a.test"}), node.Start(t, node.Options{Domain: "b.test"})
	gateway.Run("", "domain", "add", "b.test", "--relay", "--split", "--recipients", "ask", "--to", inside.SMTP)
	gateway.Run(node.Password+"\n", "account", "add", "near@b.test", "--password-stdin")
	if got := strangers(t, gateway, "first", "alice@b.test", "nobody@b.test", "near@b.test"); got != "nobody@b.test 550" {
		t.Errorf("refused: %s", got)
	}
	inside.WaitInbox("alice", 1)
	gateway.WaitQueue("")
	if got := gateway.Run("", "outbound", "explain", "alice@b.test"); !strings.Contains(got, "its host took it ") {
		t.Errorf("explained:\n%s", got)
	}
	if got := gateway.Run("", "outbound", "explain", "near@b.test"); got != "b.test  is served here: nothing goes out\n" {
		t.Errorf("explained:\n%s", got)
	}
	if err := inside.Stop(); err != nil {
		t.Error(err)
	}
	if err := gateway.Stop(); err != nil {
		t.Error(err)
	}
	gateway.Server = gateway.Restart()
	if got := strangers(t, gateway, "second", "alice@b.test", "bob@b.test", "nobody@b.test"); got != "bob@b.test 450 nobody@b.test 550" {
		t.Errorf("refused while it is down: %s", got)
	}
	if id := gateway.Submit("third", "bob@b.test"); gateway.Trace(id) == "" {
		t.Error("a user's mail for one who is not known is not taken")
	}
}
