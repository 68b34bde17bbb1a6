package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// loopback is an address of this process, with a last octet.
func loopback(last int) string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>8&0x7f, pid&0xff, last)
}

// TestMTASTS: the server finds the policy of another domain where everybody finds
// it, on port 443, and keeps to it after SIGKILL, when somebody hides it and leads
// mail elsewhere.
func TestMTASTS(t *testing.T) {
	t.Parallel()
	if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", loopback(9)+":443"); err != nil {
		testkit.RequireRoot(t) // to serve there
		t.Fatal(err)
	} else if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ca := testkit.NewCA(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	web := testkit.StartPolicyHost(t, loopback(9)+":443", ca.ServerConfig(t, "mta-sts.far.test"))
	web.Publish("far.test", "version: STSv1\r\nmode: enforce\r\nmx: *.far.test\r\nmax_age: 604800\r\n")
	_, port, _ := net.SplitHostPort(testkit.FreePort(t))
	far := testkit.StartMX(t, testkit.MXOptions{Addr: loopback(1) + ":" + port, TLS: ca.ServerConfig(t, "mx.far.test")})
	evil := testkit.StartMX(t, testkit.MXOptions{Addr: loopback(2) + ":" + port, TLS: ca.ServerConfig(t, "mx.evil.test")})
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A "+loopback(1), "mx.evil.test. 60 A "+loopback(2),
		"mta-sts.far.test. 60 A "+loopback(9), `_mta-sts.far.test. 60 TXT "v=STSv1; id=20261126;"`)
	environment := []string{"SSL_CERT_FILE=" + roots}
	resolver := fmt.Sprintf("resolver = %q\nown_networks = [\"127.0.0.0/8\"]", dns.Addr)
	n := node.Start(t, node.Options{Resolver: resolver, Port: far.Addr, Env: environment})

	n.WaitEvents(n.Submit("safe", "x@far.test"), "accepted delivered")
	if story := n.Trace("<safe@a.test>"); !strings.Contains(story, "verified (MTA-STS)") {
		t.Errorf("the trace does not tell of the policy:\n%s", story)
	}
	n.Kill()
	dns.Remove("_mta-sts.far.test")
	dns.Remove("far.test")
	dns.Add("far.test. 60 MX 10 mx.evil.test.")
	web.Answer("far.test", http.NotFound)
	again, err := testkit.LaunchServer(t, testkit.ServerOptions{Dir: n.Dir, ConfigFile: n.ConfigFile, Env: environment})
	if err != nil {
		t.Fatal(err)
	}
	n.Server = again
	led := n.Submit("astray", "x@far.test")
	n.WaitEvents(led, "accepted deferred")
	waiting := n.WaitQueue("deferred")[0]
	if waiting.Code != 450 || !strings.Contains(waiting.Reply, "mx.evil.test is not among the hosts that the MTA-STS policy of far.test (id 20261126) names") {
		t.Errorf("%+v", waiting)
	}
	if evil.Connections() != 0 || len(far.Messages()) != 1 {
		t.Errorf("%d connections to the wrong host, %d messages at the right one", evil.Connections(), len(far.Messages()))
	}
	told := n.Run("", "outbound", "explain", "x@far.test")
	for _, part := range []string{"mx.evil.test (preference 10)  " + evil.Addr + "  (not named by the policy: it gets no mail)\n",
		"policy  MTA-STS enforce, id 20261126, fetched a minute ago, holds until 20", "        names *.far.test\n",
		"        sts-policy-fetch-error: the TXT record that announces it is gone\n", "reply   450 4.7.0 mx.evil.test is not among"} {
		if !strings.Contains(told, part) {
			t.Errorf("it lacks %q:\n%s", part, told)
		}
	}
	// An operator who knows better can have it otherwise, at once.
	rewrite(t, n, "[outbound]\n", "[outbound]\nmta_sts = false\n")
	reload(t, n, "settings reloaded")
	if told := n.Run("", "outbound", "explain", "x@far.test"); strings.Contains(told, "\npolicy ") || !strings.Contains(told, "TLS     if the host offers it") {
		t.Errorf("after the reload:\n%s", told)
	}
}
