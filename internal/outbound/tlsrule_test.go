package outbound_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

// policed is a world in which x.test can have an MTA-STS policy.
type policed struct {
	*world
	ca  *testkit.CA
	web *testkit.PolicyHost
	db  db.DB

	mu      sync.Mutex
	now     time.Time
	results []outbound.TLSResult
}

// newPoliced has a web server on loopback, behind the address 192.0.2.9.
func newPoliced(t *testing.T, records ...string) *policed {
	t.Helper()
	p := &policed{world: newWorld(t, append(records, "mta-sts.x.test. 60 A 192.0.2.9")...), ca: testkit.NewCA(t), now: time.Now()}
	p.web = testkit.StartPolicyHost(t, "", p.ca.ServerConfig(t, "mta-sts.x.test"))
	p.routes["192.0.2.9:443"] = p.web.Addr
	p.db = dbtest.New(t, sts.Schema())
	p.tls, p.set.MTASTS = p.ca.ClientConfig(""), true
	p.options.Report = func(r outbound.TLSResult) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.results = append(p.results, r)
	}
	p.restart()
	return p
}

// restart is a process that knows only what is stored.
func (p *policed) restart() {
	p.o.Close()
	fetch := &mtasts.Fetcher{Resolver: p.options.Resolver, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		p.world.mu.Lock()
		to := p.routes[addr]
		p.world.mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, to)
	}, Roots: p.ca.Pool}
	p.options.STS = sts.New(sts.Options{
		DB: p.db, TXT: func(ctx context.Context, name string) ([]string, error) {
			return dnsx.New(dnsx.Options{Server: p.dns.Addr}).TXT(ctx, name) // sees what the test has changed
		}, Fetch: fetch.Fetch, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { p.mu.Lock(); defer p.mu.Unlock(); return p.now },
	})
	p.o = outbound.New(p.options)
}

func (p *policed) pass(d time.Duration) { p.mu.Lock(); defer p.mu.Unlock(); p.now = p.now.Add(d) }

// publish gives x.test a policy; an id of "" takes its record away.
func (p *policed) publish(id, mode string, mx ...string) {
	p.dns.Remove("_mta-sts.x.test")
	if id != "" {
		p.dns.Add(`_mta-sts.x.test. 60 TXT "v=STSv1; id=` + id + `"`)
	}
	p.web.Publish("x.test", "version: STSv1\nmode: "+mode+"\nmx: "+strings.Join(mx, "\nmx: ")+"\nmax_age: 604800\n")
}

// counted is what was reported since the last call, a line each.
func (p *policed) counted() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, r := range p.results {
		if r.Domain != "x.test" || (r.Policy == "sts") != (len(r.Lines) > 0) || (r.Policy == "sts") != (len(r.Patterns) > 0) || r.Addr.IsValid() != r.Local.IsValid() {
			p.t.Errorf("a report of %+v", r)
		}
		line := r.Policy + " " + r.Host
		if r.Addr.IsValid() {
			line += " " + r.Addr.Addr().String()
		}
		for _, f := range []string{r.Failure, r.PolicyFailure} {
			if f != "" {
				line += " " + f
			}
		}
		out = append(out, line)
	}
	p.results = nil
	return strings.Join(out, ", ")
}

// TestPolicy: which hosts get mail under a policy, and what is reported.
func TestPolicy(t *testing.T) {
	t.Parallel()
	const barred = "deferred 450 4.7.0 ours"
	const noTLS = "deferred 454 4.7.4 ours"
	const unproven = "deferred 454 4.7.5 ours"
	type certificate func(t *testing.T, ca *testkit.CA) *tls.Config
	names := func(n ...string) certificate {
		return func(t *testing.T, ca *testkit.CA) *tls.Config { t.Helper(); return ca.ServerConfig(t, n...) }
	}
	old := func(t *testing.T, ca *testkit.CA) *tls.Config {
		t.Helper()
		c := ca.ServerConfig(t, "mx.x.test")
		c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		return c
	}
	for name, c := range map[string]struct {
		cert    certificate // nil = no TLS
		rules   []testkit.MXRule
		pattern string
		want    string // where the policy is enforced
		failure string // as it is reported; empty = success
		shown   string // what keeps the certificate from being verified; empty = it is, or was not shown
	}{
		"all is well":             {cert: names("mx.x.test"), want: good},
		"named by a wildcard":     {cert: names("mx.x.test"), pattern: "*.x.test", want: good},
		"proven by a wildcard":    {cert: names("*.x.test"), want: good},
		"one name of many":        {cert: names("other.test", "MX.X.test"), want: good},
		"not named":               {cert: names("mx.x.test"), pattern: "x.test", want: barred, failure: "validation-failure"},
		"too deep for a wildcard": {cert: names("mx.x.test"), pattern: "*.test", want: barred, failure: "validation-failure"},
		"no TLS":                  {want: noTLS, failure: "starttls-not-supported"},
		"STARTTLS refused": {cert: names("mx.x.test"), rules: []testkit.MXRule{{Command: "STARTTLS", Reply: "454 4.7.0 Not now"}},
			want: noTLS, failure: "starttls-not-supported"},
		"an expired certificate": {cert: func(t *testing.T, ca *testkit.CA) *tls.Config { t.Helper(); return ca.Expired(t, "mx.x.test") },
			want: unproven, failure: "certificate-expired", shown: "x509: certificate has expired or is not yet valid: "},
		"the domain's certificate": {cert: names("x.test"), want: unproven, failure: "certificate-host-mismatch",
			shown: "x509: certificate is valid for x.test, not mx.x.test"},
		"a certificate of nobody": {cert: func(t *testing.T, _ *testkit.CA) *tls.Config {
			t.Helper()
			return testkit.NewCA(t).ServerConfig(t, "mx.x.test")
		},
			want: unproven, failure: "certificate-not-trusted", shown: "x509: certificate signed by unknown authority"},
		"an old TLS": {cert: old, want: unproven, failure: "validation-failure"},
	} {
		for _, mode := range []string{"enforce", "testing", "none", ""} {
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				p := newPoliced(t)
				var o testkit.MXOptions
				if c.cert != nil {
					o.TLS = c.cert(t, p.ca)
				}
				m := p.mx(o, c.rules...)
				if mode != "" {
					p.publish("1", mode, cmp.Or(c.pattern, "mx.x.test"))
				}
				want, report := c.want, "sts mx.x.test 10.0.0.1"
				if mode != "enforce" {
					want = good
				} else if want == barred {
					report = "sts mx.x.test"
				}
				if c.failure != "" {
					report += " " + c.failure
				}
				if mode != "enforce" && mode != "testing" {
					report = "no-policy-found mx.x.test 10.0.0.1"
					if c.failure == "starttls-not-supported" {
						report += " " + c.failure
					}
				}
				got := p.send("a@x.test")
				p.want(got, want)
				if counted := p.counted(); counted != report {
					t.Errorf("reported %q, want %q", counted, report)
				}
				if (len(m.Messages()) == 1) != (want == good) {
					t.Errorf("%d messages arrived", len(m.Messages()))
				}
				if want != good && (got[0].Host != "mx.x.test" || !strings.Contains(got[0].Reply, "the MTA-STS policy of x.test (id 1)")) {
					t.Errorf("%+v", got[0])
				}
				by := map[string]string{"enforce": " (MTA-STS)", "testing": " (MTA-STS, not enforced)"}[mode]
				switch told := got[0].TLS; {
				case c.failure == "starttls-not-supported", want == barred, name == "an old TLS":
				case by == "" && !strings.HasSuffix(told, ", not verified: nothing asks for it"),
					by != "" && c.shown == "" && !strings.HasSuffix(told, ", verified"+by),
					by != "" && c.shown != "" && (!strings.Contains(told, ", not verified: "+c.shown) || !strings.HasSuffix(told, by)),
					!strings.HasPrefix(told, "TLSv1.3 TLS_"):
					t.Errorf("TLS %q", told)
				}
				if want == barred && strings.Contains(p.dials(), "10.0.0.1") {
					t.Errorf("it connected to %s", p.dials())
				}
			})
		}
	}
}

// TestPolicyTriesAllHosts in the order of their preference, and skips those that
// fall short (RFC 8461 §8.4).
func TestPolicyTriesAllHosts(t *testing.T) {
	t.Parallel()
	p := newPoliced(t)
	for i, name := range []string{"stranger.test", "plain.x.test", "wrong.x.test", "good.x.test"} {
		ip := fmt.Sprintf("10.0.0.%d", i+1)
		p.dns.Add(fmt.Sprintf("x.test. 60 MX %d %s.", i, name), name+". 60 A "+ip)
		var o testkit.MXOptions
		switch i {
		case 0, 3:
			o.TLS = p.ca.ServerConfig(t, name)
		case 2:
			o.TLS = p.ca.ServerConfig(t, "good.x.test")
		}
		p.route(ip+":25", testkit.StartMX(t, o))
	}
	p.dns.Add("stranger.test. 60 A 10.0.0.5") // two addresses make one report
	p.publish("1", "enforce", "*.x.test")
	got := p.send("a@x.test")
	p.want(got, good)
	const want = "sts stranger.test validation-failure, sts plain.x.test 10.0.0.2 starttls-not-supported, " +
		"sts wrong.x.test 10.0.0.3 certificate-host-mismatch, sts good.x.test 10.0.0.4"
	if counted := p.counted(); got[0].Host != "good.x.test" || counted != want {
		t.Errorf("%+v, reported %s", got[0], counted)
	}
}

// TestPolicyIsKept: it goes on to bind while record and web server are away, also in
// the next process, and another one takes its place.
func TestPolicyIsKept(t *testing.T) {
	t.Parallel()
	p := newPoliced(t)
	m := p.mx(testkit.MXOptions{}) // whoever sits between takes STARTTLS away
	p.publish("1", "enforce", "mx.x.test")
	p.want(p.send("a@x.test"), "deferred 454 4.7.4 ours")
	p.counted()
	p.publish("", "enforce", "mx.x.test")
	p.web.Answer("x.test", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for _, restarts := range []bool{false, true} {
		p.pass(24 * time.Hour)
		if restarts {
			p.restart()
		}
		p.want(p.send("a@x.test"), "deferred 454 4.7.4 ours")
		const want = "sts mx.x.test 10.0.0.1 starttls-not-supported sts-policy-fetch-error"
		if counted := p.counted(); counted != want {
			t.Errorf("reported %s", counted)
		}
	}
	p.dns.Fail("_mta-sts.x.test", testkit.DNSServFail)
	p.pass(time.Hour)
	p.want(p.send("a@x.test"), "deferred 454 4.7.4 ours")
	p.dns.Fail("_mta-sts.x.test", testkit.NoFault)
	p.publish("2", "testing", "mx.x.test")
	p.pass(time.Hour)
	p.want(p.send("a@x.test"), good)
	if len(m.Messages()) != 1 {
		t.Errorf("%d messages", len(m.Messages()))
	}
}

// TestPolicyCannotBeHad: mail goes as if there were none, and it is reported.
func TestPolicyCannotBeHad(t *testing.T) {
	t.Parallel()
	p := newPoliced(t)
	p.mx(testkit.MXOptions{TLS: p.ca.ServerConfig(t, "other.test")})
	p.publish("1", "enforce", "mx.x.test")
	p.web.Publish("x.test", "hello")
	p.want(p.send("a@x.test"), good)
	if counted := p.counted(); counted != "no-policy-found mx.x.test 10.0.0.1 sts-policy-invalid" {
		t.Errorf("reported %s", counted)
	}
}

// TestPolicyAndKeptConnections: none that was made under a weaker rule is used again.
func TestPolicyAndKeptConnections(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cert, pattern, want string
		conns               int
	}{
		"proven meanwhile": {"mx.x.test", "mx.x.test", good, 1}, // the same handshake proves it
		"not proven":       {"other.test", "mx.x.test", "deferred 454 4.7.5 ours", 2},
		"no longer named":  {"mx.x.test", "other.x.test", "deferred 450 4.7.0 ours", 1},
		"no TLS":           {"", "mx.x.test", "deferred 454 4.7.4 ours", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t)
			p.set.IdleTimeout = time.Minute
			var o testkit.MXOptions
			if c.cert != "" {
				o.TLS = p.ca.ServerConfig(t, c.cert)
			}
			m := p.mx(o)
			p.want(p.send("a@x.test"), good)
			p.want(p.send("a@x.test"), good)
			if m.Connections() != 1 {
				t.Fatal("the connection was not kept")
			}
			p.publish("1", "enforce", c.pattern)
			p.pass(time.Hour)
			p.want(p.send("a@x.test"), c.want)
			if m.Connections() != c.conns {
				t.Errorf("%d connections", m.Connections())
			}
			// Neither is one that is in use when the policy changes.
			p.publish("2", "testing", "mx.x.test")
			p.pass(time.Hour)
			jobs, got := 0, []string{}
			p.o.Deliver(t.Context(), "x.test", p.jobs(2, func() {
				if jobs++; jobs == 2 {
					p.publish("3", "enforce", c.pattern)
					p.pass(time.Hour)
				}
			}), p.outcomes(&got))
			if want := []string{good, c.want}; strings.Join(got, ", ") != strings.Join(want, ", ") {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestNoPolicyFor: smart hosts and address literals have none, and neither has
// anybody where the setting says so.
func TestNoPolicyFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*outbound.Settings)
		to   string
		asks bool
	}{
		"by setting":   {set: func(s *outbound.Settings) { s.MTASTS = false }, to: "a@x.test"},
		"a smart host": {set: func(s *outbound.Settings) { s.SmartHost = outbound.SmartHost{Host: "x.test", Port: 25, TLS: "none"} }, to: "a@x.test"},
		"a literal":    {to: "a@[10.0.0.1]"},
		"anybody else": {to: "a@x.test", asks: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t, "x.test. 60 A 10.0.0.1")
			p.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}))
			p.publish("1", "enforce", "x.test")
			if c.set != nil {
				c.set(&p.set)
			}
			got := p.send(c.to)
			if (got[0].Code == 250) == c.asks {
				t.Errorf("%+v", got)
			}
			for _, q := range p.dns.Queries() {
				if !c.asks && q.Type == "TXT" {
					t.Errorf("a question for %s", q.Name)
				}
			}
			if counted := p.counted(); (counted != "") != (c.asks || name == "by setting") {
				t.Errorf("reported %s", counted)
			}
		})
	}
}

// TestRequireTLSByPolicy: a policy that is enforced proves where mail goes (RFC 8689
// §4.2.1), one that is tried out does not.
func TestRequireTLSByPolicy(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{"enforce": good, "testing": "failed 530 5.7.10 ours"} {
		p := newPoliced(t)
		p.mx(testkit.MXOptions{Keywords: []string{"ENHANCEDSTATUSCODES", "REQUIRETLS"}, TLS: p.ca.ServerConfig(t, "mx.x.test")})
		p.publish("1", mode, "mx.x.test")
		job := p.job("a@x.test")
		job.Message.RequireTLS = true
		p.want(p.deliver(t.Context(), job)[0], want)
	}
	// A report that must not be lost still keeps to the policy.
	p := newPoliced(t)
	p.mx(testkit.MXOptions{})
	p.publish("1", "enforce", "mx.x.test")
	job := p.job("a@x.test")
	job.Message.From, job.Message.RequireTLS = mail.Address{}, true
	p.want(p.deliver(t.Context(), job)[0], "deferred 454 4.7.4 ours")
}

// TestPolicyUnknown: what the database cannot tell delays mail, and sends none.
func TestPolicyUnknown(t *testing.T) {
	t.Parallel()
	p := newPoliced(t)
	m := p.mx(testkit.MXOptions{})
	if err := p.db.Close(); err != nil {
		t.Fatal(err)
	}
	p.want(p.send("a@x.test"), "deferred 451 4.3.0 ours")
	if counted := p.counted(); m.Connections() != 0 || counted != "" {
		t.Errorf("it connected, or reported %q", counted)
	}
}

// TestRefusedBehindOurHandshake: a host that wants a certificate of ours says so, in TLS 1.3,
// only where its first reply would be: that is a failed handshake as well.
func TestRefusedBehindOurHandshake(t *testing.T) {
	t.Parallel()
	const unproven = "deferred 454 4.7.5 ours"
	for _, c := range []struct{ mode, demand, want, report string }{
		{"", "", good, "no-policy-found mx.x.test 10.0.0.1 validation-failure"},
		{"testing", "", good, "sts mx.x.test 10.0.0.1 validation-failure"},
		{"enforce", "", unproven, "sts mx.x.test 10.0.0.1 validation-failure"},
		{"", "required", unproven, "no-policy-found mx.x.test 10.0.0.1 validation-failure"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprint(c.mode, c.demand, tls.VersionName(version)), func(t *testing.T) {
				t.Parallel()
				p := newPoliced(t)
				p.options.Demand = func(string, string) outbound.Demand { return outbound.Demand{TLS: c.demand, From: "set"} }
				p.restart()
				config := p.ca.ServerConfig(t, "mx.x.test")
				config.ClientAuth, config.MaxVersion = tls.RequireAnyClientCert, version
				m := p.mx(testkit.MXOptions{TLS: config})
				if c.mode != "" {
					p.publish("1", c.mode, "mx.x.test")
				}
				got := p.send("a@x.test")
				p.want(got, c.want)
				if said := got[0].TLS + got[0].Reply; !strings.Contains(said, "remote error: tls: ") {
					t.Errorf("it does not say why: %q", said)
				}
				if counted := p.counted(); counted != c.report {
					t.Errorf("reported %q, want %q", counted, c.report)
				}
				if clear := len(m.Messages()) == 1; clear != (c.want == good) {
					t.Errorf("%d messages arrived", len(m.Messages()))
				}
			})
		}
	}
}
