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

// TestReportOfSharedConnection: each domain is told of it once, by its own policy, whoever
// used it first and however often.
func TestReportOfSharedConnection(t *testing.T) {
	t.Parallel()
	const mine, none = "x.test sts", "y.test no-policy-found"
	for _, c := range []struct {
		name, mode, cert string
		order            string
		want             string
	}{
		{"enforced for the first", "enforce", "mx.x.test", "x y y x y", mine + ", " + none},
		{"enforced for the second", "enforce", "mx.x.test", "y x x y x", none + ", " + mine},
		{"tried out, and not proven, for the first", "testing", "else.test", "x y x", mine + " certificate-host-mismatch, " + none},
		{"tried out, and not proven, for the second", "testing", "else.test", "y x y", none + ", " + mine + " certificate-host-mismatch"},
		{"no TLS", "testing", "", "x y x", mine + " starttls-not-supported, " + none + " starttls-not-supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t, "y.test. 60 MX 10 mx.x.test.")
			p.set.IdleTimeout = time.Minute
			var o testkit.MXOptions
			if c.cert != "" {
				o.TLS = p.ca.ServerConfig(t, c.cert)
			}
			m := p.mx(o)
			p.publish("1", c.mode, "mx.x.test")
			for _, site := range strings.Fields(c.order) {
				p.want(p.send("a@"+site+".test"), good)
			}
			var got []string
			for _, r := range p.results {
				got = append(got, strings.TrimSpace(r.Domain+" "+r.Policy+" "+r.Failure))
				if r.Host != "mx.x.test" || r.Addr.String() != "10.0.0.1:25" || !r.Local.IsValid() {
					t.Errorf("%+v", r)
				}
			}
			if told := strings.Join(got, ", "); told != c.want || m.Connections() != 1 {
				t.Errorf("reported %q over %d connections, want %q", told, m.Connections(), c.want)
			}
		})
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
