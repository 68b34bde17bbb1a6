package interop

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// unbound as a resolver that checks DNSSEC, without a network: it knows the trust
// anchor of dane.test, and has that zone and one that is not signed. Its own idea of
// "test." (RFC 6761) is put aside.
const unboundConf = `server:
  directory: %[1]s
  username: ""
  chroot: ""
  pidfile: ""
  interface: %[2]s
  port: %[3]s
  do-daemonize: no
  use-syslog: no
  logfile: ""
  verbosity: 1
  val-log-level: 2
  module-config: "validator iterator"
  trust-anchor-file: %[4]s
  local-zone: "test." nodefault
auth-zone:
  name: dane.test
  zonefile: %[1]s/signed
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
auth-zone:
  name: plain.test
  zonefile: %[1]s/plain
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
remote-control:
  control-enable: no
`

const zoneHead = `$ORIGIN %[1]s
$TTL 60
@ SOA ns.%[1]s root.%[1]s 1 3600 600 86400 60
@ NS ns.%[1]s
ns A 127.0.0.1
`

// startUnbound signs dane.test with the tools of ldns and returns the address of a
// resolver that checks it. Then bogus, pairs of old and new text, spoils what was
// signed.
func startUnbound(t *testing.T, dane, plain string, bogus ...string) string {
	t.Helper()
	program := testkit.Require(t, "unbound")
	keygen, sign := testkit.Require(t, "ldns-keygen"), testkit.Require(t, "ldns-signzone")
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("zone", fmt.Sprintf(zoneHead, "dane.test.")+dane)
	write("plain", fmt.Sprintf(zoneHead, "plain.test.")+plain)
	key := strings.TrimSpace(node.Program(t, node.Job{Dir: dir}, keygen, "-a", "ECDSAP256SHA256", "-k", "dane.test"))
	node.Program(t, node.Job{Dir: dir}, sign, "-f", "signed", "zone", key)
	signed, err := os.ReadFile(filepath.Join(dir, "signed"))
	if err != nil {
		t.Fatal(err)
	}
	write("signed", strings.NewReplacer(bogus...).Replace(string(signed)))
	addr := testkit.FreePort(t)
	write("conf", fmt.Sprintf(unboundConf, dir, node.HostOf(addr), node.PortOf(addr), filepath.Join(dir, key+".ds")))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "-d", "-c", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("log of unbound:\n%s", text)
		}
	})
	testkit.Eventually(t, node.Patience, "unbound to answer", func() bool {
		// A new resolver remembers no failure.
		_, err := dnsx.New(dnsx.Options{Server: addr, Timeout: time.Second}).Addrs(t.Context(), "ns.dane.test")
		return err == nil
	})
	return addr
}

// digest is what a TLSA record has of the first or the second certificate of a file.
func digest(t *testing.T, file string, kind string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	own, rest := pem.Decode(text)
	above, _ := pem.Decode(rest)
	data := above.Bytes // 2 0 1
	if kind == "3 1 1" {
		cert, err := x509.ParseCertificate(own.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		data = cert.RawSubjectPublicKeyInfo
	}
	sum := sha256.Sum256(data)
	return kind + " " + hex.EncodeToString(sum[:])
}

// Hayauma relays to Postfix, whose certificate DANE proves, or does not. Everything
// is real: the signed zone, the resolver that checks it, the next hop.
func TestDANEToPostfix(t *testing.T) {
	t.Parallel()
	addr := testkit.FreePort(t)
	p := startPostfix(t, addr, `virtual_mailbox_domains = right.dane.test ta.dane.test wrong.dane.test bogus.dane.test badmx.dane.test none.dane.test plain.test
virtual_transport = discard:`, "mx.ta.dane.test")
	tlsa := "_" + node.PortOf(addr) + "._tcp."
	wrong, spoiled := "3 1 1 "+strings.Repeat("a5", 32), "3 1 1 "+strings.Repeat("b6", 32)
	resolver := startUnbound(t, `
signed A 127.0.0.1
bad A 127.0.0.65
right MX 10 mx.right
mx.right A 127.0.0.1
`+tlsa+`mx.right TLSA `+digest(t, p.certificate, "3 1 1")+`
ta MX 10 mx.ta
mx.ta A 127.0.0.1
`+tlsa+`mx.ta TLSA `+digest(t, p.certificate, "2 0 1")+`
wrong MX 10 mx.wrong
mx.wrong A 127.0.0.1
`+tlsa+`mx.wrong TLSA `+wrong+`
bogus MX 10 mx.bogus
mx.bogus A 127.0.0.1
`+tlsa+`mx.bogus TLSA `+spoiled+`
badmx MX 77 mx.right
none MX 10 mx.none
mx.none A 127.0.0.1
`, `
@ MX 10 mx
mx A 127.0.0.1
`+tlsa+`mx TLSA `+wrong+`
`, "127.0.0.65", "127.0.0.66", spoiled, wrong, "MX\t77 ", "MX\t78 ")
	n := node.Start(t, node.Options{Port: addr, Resolver: fmt.Sprintf(`resolver = %q
trust_ad = true
proof_signed = "signed.dane.test"
proof_bogus = "bad.dane.test"`, resolver)})
	if said := n.Run("", "check"); strings.Contains(said, "warning: dns") {
		t.Errorf("check: %s", said)
	}
	if said := n.Run("", "outbound", "explain", "x@right.dane.test"); !strings.Contains(said, "DANE: TLS always; the certificate is verified by 1 TLSA record: 3 1 1") {
		t.Errorf("explain: %s", said)
	}
	for _, c := range []struct {
		domain, events string
		has, lacks     string // of the trace
	}{
		{"right.dane.test", "accepted delivered", "DANE", "deferred"},
		{"ta.dane.test", "accepted delivered", "DANE", "deferred"},
		{"none.dane.test", "accepted delivered", "TLSv1.3", "DANE"},
		{"plain.test", "accepted delivered", "TLSv1.3", "DANE"},
		{"wrong.dane.test", "accepted deferred", "the certificate matches no TLSA record", "delivered"},
		{"bogus.dane.test", "accepted deferred", "The TLSA records of mx.bogus.dane.test cannot be looked up", "delivered"},
		{"badmx.dane.test", "accepted deferred", "The mail exchangers of badmx.dane.test cannot be looked up", "delivered"},
	} {
		id := n.Submit(c.domain, "x@"+c.domain)
		n.WaitEvents(id, c.events)
		if story := n.Trace(id); !strings.Contains(story, c.has) || strings.Contains(story, c.lacks) {
			t.Errorf("%s:\n%s", c.domain, story)
		}
		reached := strings.Contains(c.events, "delivered")
		testkit.Eventually(t, node.Patience, c.domain+" in the log of Postfix, or not", func() bool {
			return strings.Contains(p.log(), "to=<x@"+c.domain+">") == reached
		})
	}
}
