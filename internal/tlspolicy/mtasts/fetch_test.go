package mtasts_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestNoProxy: whatever the environment says, the policy host itself is asked. It
// stands first, since a process reads that only once.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	ca := testkit.NewCA(t)
	host := testkit.StartPolicyHost(t, "", ca.ServerConfig(t, "mta-sts.x.test"))
	host.Publish("x.test", good)
	f := fetcher(testkit.StartDNS(t, "mta-sts.x.test. 60 A 192.0.2.9"), ca, func(ctx context.Context, network, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, map[string]string{"192.0.2.9:443": host.Addr}[addr])
	})
	if _, err := f.Fetch(t.Context(), "x.test"); err != nil {
		t.Error(err)
	}
}

// TestFetch asks a real web server, whose name the fake DNS knows.
func TestFetch(t *testing.T) {
	ca, strangers := testkit.NewCA(t), testkit.NewCA(t)
	type answer = http.HandlerFunc
	plain := func(contentType string, status int, text string) answer {
		return func(w http.ResponseWriter, _ *http.Request) {
			if contentType != "" {
				w.Header()["Content-Type"] = []string{contentType}
			}
			w.Header().Set("Location", "https://mta-sts.other.test/.well-known/mta-sts.txt")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text)) // the client may have seen enough
		}
	}
	for name, c := range map[string]struct {
		how    answer
		tls    *tls.Config
		want   string // mode, or the result of a report
		record string
	}{
		"a policy":                {how: plain("text/plain", 200, good), want: "enforce"},
		"with a charset":          {how: plain("Text/Plain; charset=UTF-8", 200, good), want: "enforce"},
		"with a broken parameter": {how: plain("text/plain; x", 200, good), want: "enforce"},
		"under a wildcard":        {how: plain("text/plain", 200, good), tls: ca.ServerConfig(t, "*.x.test"), want: "enforce"},
		"the second address":      {how: plain("text/plain", 200, good), record: "mta-sts.x.test. 60 A 192.0.2.7", want: "enforce"},
		"as large as may be":      {how: plain("text/plain", 200, good+"x: "+strings.Repeat("y", mtasts.MaxSize-len(good)-3)), want: "enforce"},
		"too large, without end": {how: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = w.Write([]byte(good + "x: " + strings.Repeat("y", mtasts.MaxSize-len(good)-2)))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // who reads on waits for a minute
		}, want: mtasts.PolicyInvalid},
		"HTML":                     {how: plain("text/html", 200, good), want: mtasts.FetchFailed},
		"of no type":               {how: plain("", 200, good), want: "enforce"}, // Go's server finds that it is text
		"a redirect":               {how: plain("text/plain", 301, good), want: mtasts.FetchFailed},
		"not modified":             {how: plain("text/plain", 304, ""), want: mtasts.FetchFailed},
		"not found":                {how: nil, want: mtasts.FetchFailed},
		"an error":                 {how: plain("text/plain", 503, good), want: mtasts.FetchFailed},
		"another success":          {how: plain("text/plain", 203, good), want: mtasts.FetchFailed},
		"a policy that is invalid": {how: plain("text/plain", 200, "hello"), want: mtasts.PolicyInvalid},
		"a certificate of nobody":  {how: plain("text/plain", 200, good), tls: strangers.ServerConfig(t, "mta-sts.x.test"), want: mtasts.WebPKIInvalid},
		"another's certificate":    {how: plain("text/plain", 200, good), tls: ca.ServerConfig(t, "x.test"), want: mtasts.WebPKIInvalid},
		"an expired certificate":   {how: plain("text/plain", 200, good), tls: ca.Expired(t, "mta-sts.x.test"), want: mtasts.WebPKIInvalid},
		"a connection that is cut": {how: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: mtasts.FetchFailed},
		"a body that is cut": {how: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write([]byte(good))
		}, want: mtasts.FetchFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.tls == nil {
				c.tls = ca.ServerConfig(t, "mta-sts.x.test")
			}
			host := testkit.StartPolicyHost(t, "", c.tls)
			host.Answer("x.test", c.how)
			dns := testkit.StartDNS(t, "mta-sts.x.test. 60 A 192.0.2.9")
			if c.record != "" {
				dns.Add(c.record)
			}
			f := fetcher(dns, ca, func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr != "192.0.2.9:443" {
					addr = "127.0.0.1:1"
				} else {
					addr = host.Addr
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			})
			p, err := f.Fetch(t.Context(), "x.test")
			got := string(p.Mode)
			if err != nil {
				got = mtasts.Result(err)
			}
			if got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
			if n := host.Asked.Load(); n > 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestPublic: a report says what the other side did, and nothing of ours.
func TestPublic(t *testing.T) {
	t.Parallel()
	ca, strangers := testkit.NewCA(t), testkit.NewCA(t)
	const host = "mta-sts.x.test"
	ours := ca.ServerConfig(t, host)
	answer := func(kind string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte("hello")) // the client may have seen enough
		}
	}
	for name, c := range map[string]struct {
		tls  *tls.Config
		how  http.HandlerFunc
		dns  func(*testkit.DNS)
		dial error // what a connection comes to; nil = it is made
		want string
	}{
		"an error":         {how: answer("text/plain", 503), want: "the web server answers 503"},
		"HTML":             {how: answer("text/html", 200), want: `the web server sends "text/html", which is not text/plain`},
		"nonsense":         {how: answer("text/plain", 200), want: `the MTA-STS policy is invalid: "hello" is not like "name: value"`},
		"a cut connection": {how: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: "the policy host cannot be reached, or breaks off"},
		"of nobody":        {tls: strangers.ServerConfig(t, host), want: "the certificate of the policy host is of an unknown authority"},
		"another's":        {tls: ca.ServerConfig(t, "x.test"), want: "the certificate of the policy host is for another name"},
		"expired":          {tls: ca.Expired(t, host), want: "the certificate of the policy host has expired"},
		"a private host": {dns: func(d *testkit.DNS) { d.Remove(host); d.Add(host + ". 60 A 10.0.0.1") },
			want: "the policy host has no public address"},
		"no host":           {dns: func(d *testkit.DNS) { d.Remove(host) }, want: "the policy host has no address"},
		"DNS fails":         {dns: func(d *testkit.DNS) { d.Fail(host, testkit.DNSServFail) }, want: "the address of the policy host cannot be looked up"},
		"nobody listens":    {dial: syscall.ECONNREFUSED, want: "the policy host cannot be reached, or breaks off"},
		"it takes too long": {dial: os.ErrDeadlineExceeded, want: "the policy host does not answer in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			web := testkit.StartPolicyHost(t, "", cmp.Or(c.tls, ours))
			web.Answer("x.test", c.how)
			dns := testkit.StartDNS(t, host+". 60 A 192.0.2.9")
			if c.dns != nil {
				c.dns(dns)
			}
			_, err := fetcher(dns, ca, func(ctx context.Context, network, _ string) (net.Conn, error) {
				if c.dial != nil {
					return nil, &net.OpError{Op: "dial", Net: network, Source: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4567}, Err: c.dial}
				}
				return new(net.Dialer).DialContext(ctx, network, web.Addr)
			}).Fetch(t.Context(), "x.test")
			if err == nil {
				t.Fatal("no error")
			}
			if got := mtasts.Public(err); got != c.want {
				t.Errorf("%q, want %q, of %v", got, c.want, err)
			}
		})
	}
	if got := mtasts.Public(&tls.CertificateVerificationError{Err: x509.SystemRootsError{Err: errors.New("open /etc/ours: permission denied")}}); got != "the certificate of the policy host cannot be verified" {
		t.Error(got)
	}
}

// TestFetchStaysOutside: whoever publishes a policy does not choose whom in our own
// network we ask.
func TestFetchStaysOutside(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	host := testkit.StartPolicyHost(t, "", ca.ServerConfig(t, "mta-sts.x.test"))
	host.Publish("x.test", "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 604800\n")
	for record, network := range map[string]string{
		"A 10.0.0.1": "10.0.0.0/8", "A 127.0.0.1": "127.0.0.0/8", "AAAA ::1": "::1/128", "AAAA fd00::1": "fd00::/8", "A 169.254.169.254": "169.254.0.0/16",
	} {
		f := fetcher(testkit.StartDNS(t, "mta-sts.x.test. 60 "+record), ca, func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, host.Addr)
		})
		_, err := f.Fetch(t.Context(), "x.test")
		if !errors.Is(err, dnsx.ErrNotPublic) || mtasts.Result(err) != mtasts.FetchFailed || host.Asked.Swap(0) != 0 {
			t.Errorf("%s: %v", record, err)
		}
		f.Own = func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(network)} }
		if _, err := f.Fetch(t.Context(), "x.test"); err != nil || host.Asked.Swap(0) != 1 {
			t.Errorf("%s, which is our own: %v", record, err)
		}
	}
}

func fetcher(dns *testkit.DNS, ca *testkit.CA, dial func(context.Context, string, string) (net.Conn, error)) *mtasts.Fetcher {
	return &mtasts.Fetcher{
		Resolver: dnsx.New(dnsx.Options{Server: dns.Addr, Timeout: 500 * time.Millisecond}), Dial: dial, Roots: ca.Pool,
	}
}

// TestSilentHost: it costs a minute, and no more.
func TestSilentHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exchange, dial := testkit.Silence(t)
		f := &mtasts.Fetcher{
			Resolver: dnsx.New(dnsx.Options{Server: "192.0.2.1", Exchange: exchange}), Dial: dial,
			Roots: func() *x509.CertPool { return nil },
		}
		start := time.Now()
		_, err := f.Fetch(t.Context(), "x.test")
		if d := time.Since(start); err == nil || mtasts.Result(err) != mtasts.FetchFailed || d > time.Minute || d < 10*time.Second {
			t.Errorf("after %v: %v", d, err)
		}
	})
}
