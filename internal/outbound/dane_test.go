package outbound_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/testkit"
)

// tlsa is a record at a name: "3 1 1" of the server's own key, or "2 0 1" of the
// authority that it sends along.
func tlsa(t *testing.T, name, kind string, c *tls.Config) string {
	t.Helper()
	der := c.Certificates[0].Certificate
	switch kind {
	case "3 1 1", "1 1 1":
		leaf, err := x509.ParseCertificate(der[0])
		if err != nil {
			t.Fatal(err)
		}
		return record(name, kind, leaf.RawSubjectPublicKeyInfo)
	case "2 0 1":
		return record(name, kind, der[1])
	}
	t.Fatalf("kind %q", kind)
	return ""
}

func record(name, kind string, data []byte) string {
	sum := sha256.Sum256(data)
	return name + ". 60 TLSA " + kind + " " + hex.EncodeToString(sum[:])
}

// asked counts the questions of a type.
func (w *world) asked(qtype string) int {
	n := 0
	for _, q := range w.dns.Queries() {
		if q.Type == qtype {
			n++
		}
	}
	return n
}

// TestDANE: one exchanger, mx.x.test at 10.0.0.1, in a zone that is signed.
func TestDANE(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.mx.x.test"
	const unproven, noTLS = "deferred 454 4.7.5 ours", "deferred 454 4.7.4 ours"
	for _, c := range []struct {
		name  string
		cert  string // of the server; empty = no TLS
		kinds string // of its right records, "3 1 1, 2 0 1"
		more  []string
		setup func(*world)
		rule  testkit.MXRule
		want  string
		tls   string // the end of what the trace has; empty = nothing
	}{
		{name: "its key, whatever its name is", cert: "else.test", kinds: "3 1 1", want: good, tls: ", verified (DANE)"},
		{name: "the key of another", cert: "mx.x.test", more: []string{record(at, "3 1 1", []byte("x"))}, want: unproven, tls: ", not verified: the certificate matches no TLSA record (DANE)"},
		{name: "its key, or the next one", cert: "else.test", kinds: "3 1 1", more: []string{record(at, "3 1 1", []byte("x"))}, want: good, tls: ", verified (DANE)"},
		{name: "its authority and its name", cert: "mx.x.test", kinds: "2 0 1", want: good, tls: ", verified (DANE)"},
		{name: "its authority and the domain's name", cert: "x.test", kinds: "2 0 1", want: good, tls: ", verified (DANE)"},
		{name: "its authority, another name", cert: "else.test", kinds: "2 0 1", want: unproven, tls: ", x.test (DANE)"},
		{name: "no STARTTLS", more: []string{record(at, "3 1 1", []byte("x"))}, want: noTLS},
		{name: "STARTTLS is refused", cert: "mx.x.test", kinds: "3 1 1", rule: testkit.MXRule{Command: "STARTTLS", Reply: "454 4.7.0 not now"}, want: noTLS},
		{name: "records of no use", cert: "else.test", kinds: "1 1 1", want: good, tls: ", not verified: nothing asks for it"},
		{name: "records of no use, no STARTTLS", more: []string{record(at, "0 1 1", []byte("x"))}, want: noTLS},
		{name: "the look-up fails", cert: "mx.x.test", kinds: "3 1 1", setup: func(w *world) { w.dns.Fail(at, testkit.DNSServFail) }, want: "deferred 451 4.4.3 ours"},
		{name: "the look-up is not answered", cert: "mx.x.test", kinds: "3 1 1", setup: func(w *world) { w.unanswered(at) }, want: "deferred 451 4.4.3 ours"},
		{name: "no records", cert: "else.test", want: good, tls: ", not verified: nothing asks for it"},
		{name: "no records, no STARTTLS", want: good},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.trustAD = true
			var o testkit.MXOptions
			if c.cert != "" {
				o.TLS = testkit.NewCA(t).ServerConfig(t, c.cert)
			}
			m := w.mx(o, c.rule)
			for _, name := range []string{"x.test", "mx.x.test", at} {
				w.dns.Prove(name)
			}
			w.dns.Add(c.more...)
			for _, kind := range strings.Split(c.kinds, ", ") {
				if kind != "" {
					w.dns.Add(tlsa(t, at, kind, o.TLS))
				}
			}
			if c.setup != nil {
				c.setup(w)
			}
			got := w.send("a@x.test")
			w.want(got, c.want)
			if !strings.HasSuffix(got[0].TLS, c.tls) || strings.HasPrefix(got[0].TLS, "TLSv1.3 TLS_") != (c.tls != "") {
				t.Errorf("TLS %q", got[0].TLS)
			}
			if c.want == good {
				return
			}
			for _, command := range m.Commands() {
				if strings.HasPrefix(command.Line, "MAIL") {
					t.Errorf("it was told %+v", command)
				}
			}
			if c.setup != nil && w.dials() != "" {
				t.Errorf("it connected to %s", w.dials())
			}
		})
	}
}

// TestDANENeedsProof: wrong records are nothing to us unless the whole way to them is
// proven, and where the way to the host is not, they are not asked for.
func TestDANENeedsProof(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.mx.x.test"
	for _, c := range []struct {
		name   string
		proven string
		trust  bool
		smart  bool
		asked  bool
		want   string
	}{
		{"all is proven", "x.test mx.x.test " + at, true, false, true, "deferred 454 4.7.5 ours"},
		{"but the records", "x.test mx.x.test", true, false, true, good},
		{"but the address", "x.test " + at, true, false, false, good},
		{"but the MX", "mx.x.test " + at, true, false, false, good},
		{"but nobody is believed", "x.test mx.x.test " + at, false, false, false, good},
		{"but the operator named the host", "x.test mx.x.test " + at, true, true, false, good},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.trustAD = c.trust
			w.mx(testkit.MXOptions{TLS: testkit.NewCA(t).ServerConfig(t, "mx.x.test")})
			w.dns.Add(record(at, "3 1 1", []byte("x")))
			for _, name := range strings.Fields(c.proven) {
				w.dns.Prove(name)
			}
			if c.smart {
				w.set.SmartHost = outbound.SmartHost{Host: "mx.x.test", Port: 25, TLS: "opportunistic"}
			}
			w.want(w.send("a@x.test"), c.want)
			if asked := w.asked("TLSA") > 0; asked != c.asked {
				t.Errorf("asked for TLSA records: %v", asked)
			}
		})
	}
}

// TestDANEOfSeveral: a host that cannot be proven, or whose records cannot be looked
// up, is passed over.
func TestDANEOfSeveral(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]func(*world){
		"the first is not proven":              func(w *world) { w.dns.Add(record("_25._tcp.m1.test", "3 1 1", []byte("x"))) },
		"the records of the first are unknown": func(w *world) { w.dns.Fail("_25._tcp.m1.test", testkit.DNSServFail) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "x.test. 60 MX 10 m1.test.", "x.test. 60 MX 20 m2.test.", "m1.test. 60 A 10.0.0.1", "m2.test. 60 A 10.0.0.2")
			w.trustAD = true
			o := testkit.MXOptions{TLS: testkit.NewCA(t).ServerConfig(t, "else.test")}
			one, two := testkit.StartMX(t, o), testkit.StartMX(t, o)
			w.route("10.0.0.1:25", one)
			w.route("10.0.0.2:25", two)
			w.dns.Add(tlsa(t, "_25._tcp.m2.test", "3 1 1", o.TLS))
			for _, name := range []string{"x.test", "m1.test", "m2.test", "_25._tcp.m1.test", "_25._tcp.m2.test"} {
				w.dns.Prove(name)
			}
			setup(w)
			got := w.send("a@x.test")
			w.want(got, good)
			if got[0].Host != "m2.test" || len(one.Messages()) != 0 {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

// TestDANENames: where the records of a host stand, which certificate it is asked for,
// and by which names it is known.
func TestDANENames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		to      string
		records []string
		at      string // of the record "2 0 1"
		cert    string // the name in the certificate
		sni     string
		want    string
	}{
		{"of the exchanger", "x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, "_25._tcp.m.test", "m.test", "m.test", good},
		{"of the exchanger, elsewhere", "x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1", "_25._tcp.m.test. 60 CNAME all.test."}, "all.test", "m.test", "m.test", good},
		{"behind an alias", "x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 CNAME real.test.", "real.test. 60 A 10.0.0.1"}, "_25._tcp.real.test", "real.test", "real.test", good},
		{"behind an alias, but its name", "x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 CNAME real.test.", "real.test. 60 A 10.0.0.1"}, "_25._tcp.real.test", "m.test", "real.test", "deferred 454 4.7.5 ours"},
		{"before an alias", "x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 CNAME real.test.", "real.test. 60 A 10.0.0.1"}, "_25._tcp.m.test", "m.test", "m.test", good},
		{"no MX", "x.test", []string{"x.test. 60 A 10.0.0.1"}, "_25._tcp.x.test", "x.test", "x.test", good},
		{"no MX, an alias", "x.test", []string{"x.test. 60 CNAME real.test.", "real.test. 60 A 10.0.0.1"}, "_25._tcp.real.test", "x.test", "real.test", good},
		{"the alias of a domain", "x.test", []string{"x.test. 60 CNAME y.test.", "y.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, "_25._tcp.m.test", "y.test", "m.test", good},
		{"the domain that is the alias", "x.test", []string{"x.test. 60 CNAME y.test.", "y.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, "_25._tcp.m.test", "x.test", "m.test", good},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.records...)
			w.trustAD = true
			config := testkit.NewCA(t).ServerConfig(t, c.cert)
			var mu sync.Mutex
			sni := ""
			asking := config.Clone()
			asking.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				mu.Lock()
				defer mu.Unlock()
				sni = h.ServerName
				return nil, nil
			}
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{TLS: asking}))
			w.dns.Add(tlsa(t, c.at, "2 0 1", config))
			for _, line := range append(c.records, c.at+".") {
				w.dns.Prove(strings.Fields(line)[0])
			}
			got := w.send("a@" + c.to)
			w.want(got, c.want)
			mu.Lock()
			defer mu.Unlock()
			if sni != c.sni || c.want == good && !strings.Contains(got[0].TLS, "DANE") {
				t.Errorf("asked for %q, TLS %q", sni, got[0].TLS)
			}
		})
	}
}

// TestDANEAndRequireTLS: a host that DANE proves needs no other proof (RFC 8689
// §4.2.1).
func TestDANEAndRequireTLS(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"3 1 1", "1 1 1"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.trustAD = true
			o := testkit.MXOptions{TLS: testkit.NewCA(t).ServerConfig(t, "else.test"), Keywords: []string{"REQUIRETLS"}}
			w.mx(o)
			w.dns.Add(tlsa(t, "_25._tcp.mx.x.test", kind, o.TLS))
			for _, name := range []string{"x.test", "mx.x.test", "_25._tcp.mx.x.test"} {
				w.dns.Prove(name)
			}
			job := w.job("a@x.test")
			job.Message.RequireTLS = true
			want := map[string]string{"3 1 1": good, "1 1 1": "failed 530 5.7.10 ours"}[kind]
			w.want(w.deliver(t.Context(), job)[0], want)
		})
	}
}

// TestDANEAndMTASTS: DANE decides where it has something to say (RFC 8461 §2).
func TestDANEAndMTASTS(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.mx.x.test"
	const unproven = "deferred 454 4.7.5 ours"
	for _, c := range []struct {
		name  string
		trust bool // the authority of the host is one that MTA-STS trusts
		kind  string
		setup func(*policed)
		want  string
	}{
		{"DANE proves it, the policy would not", false, "3 1 1", nil, good},
		{"DANE proves it, the policy does not name it", true, "3 1 1", func(p *policed) { p.publish("1", "enforce", "other.test") }, good},
		{"DANE does not, the policy would", true, "", func(p *policed) { p.dns.Add(record(at, "3 1 1", []byte("x"))) }, unproven},
		{"DANE cannot be asked, the policy would", true, "3 1 1", func(p *policed) { p.dns.Fail(at, testkit.DNSServFail) }, "deferred 451 4.4.3 ours"},
		{"no record can be used, the policy proves it", true, "1 1 1", nil, good},
		{"no record can be used, the policy does not", false, "1 1 1", nil, unproven},
		{"no record can be used, the policy is tried out", false, "1 1 1", func(p *policed) { p.publish("1", "testing", "mx.x.test") }, good},
		{"no record, the policy does not", false, "", nil, unproven},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t)
			p.trustAD = true
			ca := p.ca
			if !c.trust {
				ca = testkit.NewCA(t)
			}
			o := testkit.MXOptions{TLS: ca.ServerConfig(t, "mx.x.test")}
			p.mx(o)
			for _, name := range []string{"x.test", "mx.x.test", at} {
				p.dns.Prove(name)
			}
			p.publish("1", "enforce", "mx.x.test")
			if c.kind != "" {
				p.dns.Add(tlsa(t, at, c.kind, o.TLS))
			}
			if c.setup != nil {
				c.setup(p)
			}
			p.want(p.send("a@x.test"), c.want)
		})
	}
}

// TestDANEOfKeptConnection: what was good enough before the records were known is not
// used any more, and what they prove is.
func TestDANEOfKeptConnection(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.mx.x.test"
	for kind, want := range map[string][]string{"right": {good, good, good}, "wrong": {good, "deferred 454 4.7.5 ours", "deferred 454 4.7.5 ours"}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.trustAD = true
			o := testkit.MXOptions{TLS: testkit.NewCA(t).ServerConfig(t, "else.test")}
			m := w.mx(o)
			later := testkit.StartDNS(t, "x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1")
			if kind == "right" {
				later.Add(tlsa(t, at, "3 1 1", o.TLS))
			} else {
				later.Add(record(at, "3 1 1", []byte("x")))
			}
			for _, name := range []string{"x.test", "mx.x.test", at} {
				w.dns.Prove(name)
				later.Prove(name)
			}
			var got []string
			n := 0
			w.o.Deliver(t.Context(), "x.test", w.jobs(3, func() {
				if n++; n == 2 {
					w.options.Resolver.Use(later.Addr)
				}
			}), w.outcomes(&got))
			if !slices.Equal(got, want) || kind == "right" && m.Connections() != 1 {
				t.Errorf("%q over %d connections", got, m.Connections())
			}
		})
	}
}

// TestDANEReport: what a TLS report is told.
func TestDANEReport(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.mx.x.test"
	for _, c := range []struct {
		name, kind, cert, want string
		setup                  func(*policed)
	}{
		{"success", "3 1 1", "else.test", "tlsa mx.x.test 1  ", nil},
		{"another key", "", "else.test", "tlsa mx.x.test 1 validation-failure ", func(p *policed) { p.dns.Add(record(at, "3 1 1", []byte("x"))) }},
		{"another name", "2 0 1", "else.test", "tlsa mx.x.test 1 certificate-host-mismatch ", nil},
		{"records of no use", "1 1 1", "else.test", "tlsa mx.x.test 1  tlsa-invalid", nil},
		{"no answer", "3 1 1", "else.test", "tlsa  0 dnssec-invalid ", func(p *policed) { p.dns.Fail(at, testkit.DNSServFail) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t)
			p.trustAD = true
			o := testkit.MXOptions{TLS: p.ca.ServerConfig(t, c.cert)}
			p.mx(o)
			for _, name := range []string{"x.test", "mx.x.test", at} {
				p.dns.Prove(name)
			}
			if c.kind != "" {
				p.dns.Add(tlsa(t, at, c.kind, o.TLS))
			}
			if c.setup != nil {
				c.setup(p)
			}
			p.send("a@x.test")
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, r := range p.results {
				if got := fmt.Sprintf("%s %s %d %s %s", r.Policy, r.Base, len(r.Lines), r.Failure, r.PolicyFailure); got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			}
			if len(p.results) != 1 {
				t.Errorf("%d results", len(p.results))
			}
		})
	}
}

// TestDANEOrder: records that come in another order are the same policy, for reports and for
// explanations.
func TestDANEOrder(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.mx.x.test"
	p := newPoliced(t)
	p.trustAD = true
	o := testkit.MXOptions{TLS: p.ca.ServerConfig(t, "mx.x.test")}
	p.mx(o)
	one, two, three := tlsa(t, at, "3 1 1", o.TLS), tlsa(t, at, "2 0 1", o.TLS), record(at, "3 1 1", []byte("next"))
	p.dns.Add(one, two, three)
	later := testkit.StartDNS(t, "x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1", three, one, two)
	for _, name := range []string{"x.test", "mx.x.test", at} {
		p.dns.Prove(name)
		later.Prove(name)
	}
	var told []string
	for _, dns := range []string{p.dns.Addr, later.Addr} {
		p.options.Resolver.Use(dns)
		p.want(p.send("a@x.test"), good)
		told = append(told, p.o.Explain(t.Context(), mail.Domain{ASCII: "x.test"}, "").Hosts[0].Policy)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.results) != 2 || len(p.results[0].Lines) != 3 || !slices.Equal(p.results[0].Lines, p.results[1].Lines) || told[0] != told[1] {
		t.Errorf("results %+v, told %q", p.results, told)
	}
}

// TestExplainDANE: an operator sees which hosts DANE speaks of, and what it says.
func TestExplainDANE(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x.test. 60 MX 10 a.test.", "x.test. 60 MX 20 b.test.", "x.test. 60 MX 30 c.test.", "x.test. 60 MX 40 d.test.",
		"a.test. 60 A 10.0.0.1", "b.test. 60 A 10.0.0.2", "c.test. 60 A 10.0.0.3", "d.test. 60 A 10.0.0.4",
		record("_25._tcp.a.test", "3 1 1", []byte("x")), record("_25._tcp.a.test", "3 1 1", []byte("y")), record("_25._tcp.a.test", "2 0 1", []byte("z")),
		record("_25._tcp.b.test", "1 1 1", []byte("z")))
	w.trustAD = true
	for _, name := range []string{"x.test", "a.test", "b.test", "c.test", "d.test", "_25._tcp.a.test", "_25._tcp.b.test", "_25._tcp.c.test"} {
		w.dns.Prove(name)
	}
	w.dns.Fail("_25._tcp.c.test", testkit.DNSServFail)
	got := map[string]string{}
	r := w.o.Explain(t.Context(), mail.Domain{ASCII: "x.test"}, "")
	for _, h := range r.Hosts {
		got[h.Name] = h.Policy
	}
	if want := "as DANE says of a host; else if the host offers it; its certificate is not verified"; r.TLS != want || r.Reply != "" {
		t.Errorf("TLS %q, reply %q", r.TLS, r.Reply)
	}
	for host, want := range map[string]string{
		"a.test": "DANE: TLS always; the certificate is verified by 3 TLSA records: 2 0 1, 3 1 1",
		"b.test": "DANE: TLS always; of 1 TLSA record none can be used, so that the certificate is not verified",
		"c.test": "DANE: the TLSA records cannot be looked up: it gets no mail",
		"d.test": "",
	} {
		if got[host] != want {
			t.Errorf("%s: %q, want %q", host, got[host], want)
		}
	}
}
