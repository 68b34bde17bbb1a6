package outbound_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestReportOfPolicyFailure: a domain learns that its record cannot be looked up, and
// nothing of our resolver; operators see that as well.
func TestReportOfPolicyFailure(t *testing.T) {
	t.Parallel()
	p := newPoliced(t)
	p.mx(testkit.MXOptions{TLS: p.ca.ServerConfig(t, "mx.x.test")})
	p.publish("1", "enforce", "mx.x.test")
	p.want(p.send("a@x.test"), good)
	p.dns.Fail("_mta-sts.x.test", testkit.DNSServFail)
	p.pass(time.Hour)
	p.counted()
	p.want(p.send("a@x.test"), good)
	if r := p.results[0]; r.PolicyFailure != "sts-policy-fetch-error" || r.PolicyReason != "the TXT record cannot be looked up" {
		t.Errorf("%q, %q", r.PolicyFailure, r.PolicyReason)
	}
	got, err := json.Marshal(p.o.Explain(t.Context(), mail.Domain{ASCII: "x.test"}, ""))
	if err != nil || !strings.Contains(string(got), p.dns.Addr+": the resolver answers SERVFAIL") {
		t.Errorf("%s, %v", got, err)
	}
}

// cable is a connection that breaks when TLS begins.
type cable struct{ net.Conn }

func (c cable) Write(b []byte) (int, error) {
	if b[0] != 0x16 {
		return c.Conn.Write(b)
	}
	return 0, &net.OpError{Op: "write", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4567},
		Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 4), Port: 1080}, Err: syscall.ETIMEDOUT}
}

// TestReportOfBrokenConnection: it does not tell between which addresses it was, one of
// which may be of a proxy.
func TestReportOfBrokenConnection(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"none", "enforce"} {
		p := newPoliced(t)
		dial := p.options.Dial
		p.options.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dial(ctx, network, addr)
			return cable{c}, err
		}
		p.restart()
		p.mx(testkit.MXOptions{TLS: p.ca.ServerConfig(t, "mx.x.test")})
		p.publish("1", mode, "mx.x.test")
		p.send("a@x.test")
		if len(p.results) != 1 {
			t.Fatalf("%+v", p.results)
		}
		if r := p.results[0]; r.Failure != "validation-failure" || r.Reason != syscall.ETIMEDOUT.Error() {
			t.Errorf("%s: %q, %q", mode, r.Failure, r.Reason)
		}
	}
}
