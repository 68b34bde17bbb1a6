package outbound_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

// demanding is a policed world whose operator asks for something. tls: "right", "wrong"
// (a certificate of another name) or "" (no STARTTLS); policy: a mode of MTA-STS, or "".
func demanding(t *testing.T, d outbound.Demand, encryption, policy string, keywords ...string) (*policed, *testkit.MX) {
	t.Helper()
	p := newPoliced(t)
	p.options.Demand = func(site, provider string) outbound.Demand {
		if site != "x.test" || provider != "x.test" {
			t.Errorf("asked about %s of %s", site, provider)
		}
		d.From = "set for x.test"
		return d
	}
	p.restart()
	o := testkit.MXOptions{}
	if len(keywords) > 0 {
		o.Keywords = keywords
	}
	switch encryption {
	case "right":
		o.TLS = p.ca.ServerConfig(t, "mx.x.test")
	case "wrong":
		o.TLS = p.ca.ServerConfig(t, "other.test")
	}
	if policy != "" {
		p.publish("1", policy, "mx.x.test")
	}
	return p, p.mx(o)
}

// TestTLSRequiredNo: a sender puts policies aside for his message and for no other one, and
// nothing that the operator insists on (RFC 8689 §4.2.2).
func TestTLSRequiredNo(t *testing.T) {
	t.Parallel()
	const noTLS, unproven = "deferred 454 4.7.4 ours", "deferred 454 4.7.5 ours"
	for _, c := range []struct {
		demand       string // of the operator
		encryption   string
		want, others string
		secured      string
	}{
		{"", "", good, noTLS, ""},
		{"", "wrong", good, unproven, "TLSv1.3"},
		{"", "right", good, good, "TLSv1.3"},
		{"opportunistic", "", good, noTLS, ""},
		{"none", "wrong", good, unproven, "none: set for x.test"},
		{"required", "", noTLS, noTLS, ""},
		{"required", "wrong", unproven, unproven, "TLSv1.3"},
		{"verified", "wrong", unproven, unproven, "TLSv1.3"},
	} {
		t.Run(c.demand+","+c.encryption, func(t *testing.T) {
			t.Parallel()
			p, _ := demanding(t, outbound.Demand{TLS: c.demand}, c.encryption, "enforce")
			wish := p.job("a@x.test")
			wish.Message.TLSOptional = true
			got := p.deliver(t.Context(), p.job("b@x.test"), wish, p.job("c@x.test"))
			p.want(got[0], c.others)
			p.want(got[1], c.want)
			p.want(got[2], c.others)
			if tls := got[1][0].TLS; !strings.HasPrefix(tls, c.secured) || (tls == "") != (c.secured == "") {
				t.Errorf("TLS %q, want %q", tls, c.secured)
			}
		})
	}
}

// TestTLSRequiredNoByRoute: the settings of hosts that the operator names are his own.
func TestTLSRequiredNoByRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{})
	w.set.SmartHost = outbound.SmartHost{Host: "mx.x.test", Port: 25, TLS: "starttls"}
	job := w.job("a@x.test")
	job.Message.TLSOptional = true
	if got := w.deliver(t.Context(), job)[0][0]; got.Code == 250 {
		t.Errorf("sent without TLS: %+v", got)
	}
}

// TestDemand: what the operator asks of TLS, with and without a policy of the domain,
// and what the domain is told of it.
func TestDemand(t *testing.T) {
	t.Parallel()
	const noTLS, unproven = "deferred 454 4.7.4 ours", "deferred 454 4.7.5 ours"
	none, weak := outbound.Demand{TLS: "none"}, outbound.Demand{TLS: "opportunistic"}
	required, verified := outbound.Demand{TLS: "required"}, outbound.Demand{TLS: "verified"}
	despite := func(d outbound.Demand) outbound.Demand { d.Despite = true; return d }
	for _, c := range []struct {
		demand     outbound.Demand
		encryption string
		policy     string
		want       string
		secured    string // what the trace says of TLS begins, or ends, so
		report     string // behind the policy and the host
	}{
		{required, "", "", noTLS, "", "no-policy-found starttls-not-supported"},
		{required, "wrong", "", good, "TLSv1.3", "no-policy-found"},
		{verified, "", "", noTLS, "", "no-policy-found starttls-not-supported"},
		{verified, "wrong", "", unproven, "", "no-policy-found certificate-host-mismatch"},
		{verified, "right", "", good, "verified (TLS rule)", "no-policy-found"},
		{none, "right", "", good, "none: set for x.test", ""},
		{none, "", "", good, "none: set for x.test", ""},
		{weak, "wrong", "", good, "TLSv1.3", "no-policy-found"},
		{weak, "", "", good, "", "no-policy-found starttls-not-supported"},

		// A policy that is tried out decides nothing, and the operator does.
		{required, "", "testing", noTLS, "", "sts starttls-not-supported"},
		{required, "wrong", "testing", good, "TLSv1.3", "sts certificate-host-mismatch"},
		{verified, "wrong", "testing", unproven, "", "sts certificate-host-mismatch"},
		{verified, "right", "testing", good, "verified (TLS rule)", "sts"},
		{none, "right", "testing", good, "none: set for x.test", ""},

		// A policy that is enforced is not made weaker,
		{none, "right", "enforce", good, "verified (MTA-STS)", "sts"},
		{none, "wrong", "enforce", unproven, "", "sts certificate-host-mismatch"},
		{weak, "wrong", "enforce", unproven, "", "sts certificate-host-mismatch"},
		{weak, "", "enforce", noTLS, "", "sts starttls-not-supported"},
		{required, "wrong", "enforce", unproven, "", "sts certificate-host-mismatch"},
		{verified, "right", "enforce", good, "verified (MTA-STS)", "sts"},

		// unless the operator says so.
		{despite(weak), "wrong", "enforce", good, "TLSv1.3", "sts certificate-host-mismatch"},
		{despite(weak), "", "enforce", good, "", "sts starttls-not-supported"},
		{despite(none), "right", "enforce", good, "none: set for x.test", ""},
	} {
		t.Run(strings.Join([]string{c.demand.TLS, c.encryption, c.policy}, ","), func(t *testing.T) {
			t.Parallel()
			p, m := demanding(t, c.demand, c.encryption, c.policy)
			got := p.send("a@x.test")
			p.want(got, c.want)
			if !strings.HasPrefix(got[0].TLS, c.secured) && !strings.HasSuffix(got[0].TLS, c.secured) || c.want == good && (got[0].TLS == "") != (c.secured == "") {
				t.Errorf("TLS %q, want %q", got[0].TLS, c.secured)
			}
			want := ""
			if c.report != "" {
				policy, failure, _ := strings.Cut(c.report, " ")
				want = strings.TrimSpace(policy + " mx.x.test 10.0.0.1 " + failure)
			}
			if counted := p.counted(); counted != want {
				t.Errorf("reported %q, want %q", counted, want)
			}
			for _, cmd := range m.Commands() {
				if strings.HasPrefix(got[0].TLS, "none:") && cmd.Line == "STARTTLS" {
					t.Error("it asked for TLS")
				}
			}
			if c.want != good && c.policy != "enforce" && !strings.Contains(got[0].Reply, "your TLS rule (set for x.test)") {
				t.Errorf("%q", got[0].Reply)
			}
		})
	}
}

// TestDemandAndRequireTLS: what the operator wants for a destination is no leave to
// send in the clear what its sender wants protected.
func TestDemandAndRequireTLS(t *testing.T) {
	t.Parallel()
	const refused = "failed 530 5.7.10 ours"
	for _, c := range []struct {
		demand       outbound.Demand
		policy, want string
	}{
		{outbound.Demand{}, "enforce", good},
		{outbound.Demand{TLS: "none"}, "enforce", good}, // it does not hold
		{outbound.Demand{TLS: "none", Despite: true}, "enforce", refused},
		{outbound.Demand{TLS: "opportunistic", Despite: true}, "enforce", refused},
		{outbound.Demand{TLS: "none"}, "", refused},
		{outbound.Demand{TLS: "verified"}, "", refused}, // nothing proves the name of the host
	} {
		p, m := demanding(t, c.demand, "right", c.policy, "ENHANCEDSTATUSCODES", "REQUIRETLS")
		job := p.job("a@x.test")
		job.Message.RequireTLS = true
		p.want(p.deliver(t.Context(), job)[0], c.want)
		if n := len(m.Messages()); n != 1 && c.want == good || n != 0 && c.want != good {
			t.Errorf("%+v, %s: %d messages arrived", c.demand, c.policy, n)
		}
	}
}

// TestDemandAndKeptConnections: a connection that was made without TLS serves no domain
// that may have it, and none is used that does not fulfil what is asked by now.
func TestDemandAndKeptConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a.test. 60 MX 10 mx.farm.test.", "b.test. 60 MX 10 mx.farm.test.", "mx.farm.test. 60 A 10.0.0.1")
	ca := testkit.NewCA(t)
	w.tls = ca.ClientConfig("")
	rules := map[string]string{"a.test": "none"}
	w.options.Demand = func(site, provider string) outbound.Demand {
		if provider != "farm.test" {
			t.Errorf("asked about %s", provider)
		}
		return outbound.Demand{TLS: rules[site], From: "set"}
	}
	w.o = outbound.New(w.options)
	m := testkit.StartMX(t, testkit.MXOptions{TLS: ca.ServerConfig(t, "mx.farm.test")})
	w.route("10.0.0.1:25", m)
	w.set.IdleTimeout = time.Minute
	secured := func(to string, want bool, connections int) {
		t.Helper()
		got := w.send(to)
		w.want(got, good)
		if all := m.Messages(); all[len(all)-1].TLS != want || m.Connections() != connections {
			t.Errorf("%s: TLS %v on connection %d, want %v on %d", to, all[len(all)-1].TLS, m.Connections(), want, connections)
		}
	}
	secured("x@a.test", false, 1)
	secured("y@a.test", false, 1)
	secured("x@b.test", true, 2)
	secured("z@a.test", true, 2) // what is better is good enough
	rules["b.test"] = "verified"
	secured("y@b.test", true, 2)
	delete(rules, "a.test")
	secured("u@a.test", true, 2)
}

// TestAppointed: whom the operator names himself is asked nothing else, and everybody
// else is.
func TestAppointed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := ""
	w.options.Demand = func(site, _ string) outbound.Demand { asked = site; return outbound.Demand{} }
	w.o = outbound.New(w.options)
	w.ways["r"] = route.Route{Name: "r", Kind: route.SMTP, TLS: "none", Hosts: []route.Host{{Name: "10.0.0.9", Port: 25}}}
	w.relays = map[string]*outbound.Relay{"next.test": hops(route.Host{Name: "10.0.0.9"}), "by-mx.test": {}}
	for _, c := range []struct{ site, smart, want string }{
		{"x.test", "", ""},
		{"[10.0.0.1]", "", ""},
		{"by-mx.test", "", ""},
		{"by-mx.test", "10.0.0.9", ""}, // it would bring the mail back
		{"next.test", "", "next host"},
		{"next.test", "10.0.0.9", "next host"},
		{"x.test", "10.0.0.9", "smart host"},
		{"route:r", "", "route r"},
		{"route:gone", "", "route gone"},
	} {
		w.set.SmartHost, asked = outbound.SmartHost{Host: c.smart, Port: 25}, ""
		got, err := w.o.Appointed(t.Context(), c.site)
		w.o.Explain(t.Context(), mail.Domain{ASCII: c.site}, "")
		if want := map[bool]string{true: c.site}[c.want == ""]; err != nil || got != c.want || asked != want {
			t.Errorf("%s with the smart host %q: %q, %v, want %q; asked about %q", c.site, c.smart, got, err, c.want, asked)
		}
	}
	w.lost = errors.New("the database is down")
	if got, err := w.o.Appointed(t.Context(), "x.test"); err == nil {
		t.Errorf("%q, though it cannot be told", got)
	}
}

// TestDemandOfASmartHost: it has settings of its own.
func TestDemandOfASmartHost(t *testing.T) {
	t.Parallel()
	p, _ := demanding(t, outbound.Demand{TLS: "verified"}, "", "")
	p.set.SmartHost = outbound.SmartHost{Host: "mx.x.test", Port: 25, TLS: "none"}
	p.want(p.send("a@x.test"), good)
}

func TestExplainDemand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		demand outbound.Demand
		policy string
		want   string
	}{
		{outbound.Demand{TLS: "required"}, "", "always; the certificate is not verified (set for x.test)"},
		{outbound.Demand{TLS: "verified"}, "testing", "always; the certificate is verified (set for x.test)"},
		{outbound.Demand{TLS: "verified"}, "enforce", "always; the certificate is verified (MTA-STS)"},
		{outbound.Demand{TLS: "none"}, "", "never (set for x.test)"},
		{outbound.Demand{TLS: "none"}, "enforce", "always; the certificate is verified (MTA-STS); your rule none (set for x.test) is weaker and does not hold"},
		{outbound.Demand{TLS: "none", Despite: true}, "enforce", "never, whatever policies say (set for x.test)"},
		{outbound.Demand{TLS: "opportunistic", Despite: true}, "", "if the host offers it, whatever policies say (set for x.test)"},
		{outbound.Demand{}, "", "if the host offers it; its certificate is not verified"},
	} {
		p, _ := demanding(t, c.demand, "right", c.policy)
		d, err := mail.ParseDomain("x.test")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.o.Explain(t.Context(), d, ""); got.TLS != c.want || got.Reply != "" {
			t.Errorf("%+v, %s: %q, want %q", c.demand, c.policy, got.TLS, c.want)
		}
	}
}

// TestDemandAndDANE: as with MTA-STS; and where records of no use ask for TLS without a
// proof, the operator's wish for one holds as well.
func TestDemandAndDANE(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.mx.x.test"
	const noTLS, unproven = "deferred 454 4.7.4 ours", "deferred 454 4.7.5 ours"
	for _, c := range []struct {
		demand     outbound.Demand
		cert, kind string
		failing    bool // the look-up of the records
		want, tls  string
	}{
		{outbound.Demand{TLS: "none"}, "else.test", "3 1 1", false, good, "verified (DANE)"},
		{outbound.Demand{TLS: "opportunistic"}, "", "3 1 1", false, noTLS, ""},
		{outbound.Demand{TLS: "verified"}, "else.test", "3 1 1", false, good, "verified (DANE)"}, // the better proof
		{outbound.Demand{TLS: "verified"}, "else.test", "1 1 1", false, unproven, ""},
		{outbound.Demand{TLS: "verified"}, "mx.x.test", "1 1 1", false, good, "verified (TLS rule)"},
		{outbound.Demand{TLS: "required"}, "else.test", "1 1 1", false, good, "TLSv1.3"},
		{outbound.Demand{TLS: "none"}, "else.test", "3 1 1", true, "deferred 451 4.4.3 ours", ""},
		{outbound.Demand{TLS: "verified"}, "mx.x.test", "3 1 1", true, "deferred 451 4.4.3 ours", ""},
		{outbound.Demand{TLS: "opportunistic", Despite: true}, "", "3 1 1", false, good, ""},
		{outbound.Demand{TLS: "opportunistic", Despite: true}, "else.test", "3 1 1", true, good, "TLSv1.3"},
		{outbound.Demand{TLS: "none", Despite: true}, "else.test", "3 1 1", false, good, "none: set"},
	} {
		w := newWorld(t)
		w.trustAD = true
		ca := testkit.NewCA(t)
		w.tls = ca.ClientConfig("")
		w.options.Demand = func(string, string) outbound.Demand { d := c.demand; d.From = "set"; return d }
		w.o = outbound.New(w.options)
		var o testkit.MXOptions
		w.dns.Add(record(at, "3 1 1", []byte("x")))
		if c.cert != "" {
			o.TLS = ca.ServerConfig(t, c.cert)
			w.dns.Remove(at)
			w.dns.Add(tlsa(t, at, c.kind, o.TLS))
		}
		w.mx(o)
		for _, name := range []string{"x.test", "mx.x.test", at} {
			w.dns.Prove(name)
		}
		if c.failing {
			w.dns.Fail(at, testkit.DNSServFail)
		}
		got := w.send("a@x.test")
		if show(got[0]) != c.want || !strings.HasPrefix(got[0].TLS, c.tls) && !strings.HasSuffix(got[0].TLS, c.tls) {
			t.Errorf("%+v, %q by %q, failing %v: %s, TLS %q; want %s, %q (%s)", c.demand, c.cert, c.kind, c.failing, show(got[0]), got[0].TLS, c.want, c.tls, got[0].Reply)
		}
	}
}
