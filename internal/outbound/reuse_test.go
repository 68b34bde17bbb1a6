package outbound_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestReuseAsksAsMuch: what b.test gets over a connection that was made for a.test, which
// has the same host, is what it gets over one of its own.
func TestReuseAsksAsMuch(t *testing.T) {
	t.Parallel()
	const at = "_25._tcp.m.test"
	const unproven = "deferred 454 4.7.5 ours"
	old := func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }
	for name, c := range map[string]struct {
		cert     string
		change   func(*tls.Config)
		required bool   // by a rule for b.test
		records  string // TLSA; empty = none
		proven   string // by DNSSEC, besides the host and b.test
		first    string // what a.test gets
		want     string // what b.test gets
	}{
		"an old TLS where it is required":      {cert: "m.test", change: old, required: true, first: good, want: unproven},
		"an old TLS where DANE asks":           {cert: "m.test", change: old, records: "3 1 1", first: good, want: unproven},
		"an old TLS, no record can be used":    {cert: "m.test", change: old, records: "1 1 1", first: good, want: unproven},
		"a certificate of the first domain":    {cert: "a.test", records: "2 0 1", proven: "a.test", first: good, want: unproven},
		"a certificate of the second domain":   {cert: "b.test", records: "2 0 1", proven: "a.test", first: unproven, want: good},
		"a certificate of the host":            {cert: "m.test", records: "2 0 1", proven: "a.test", first: good, want: good},
		"a key, whatever the certificate says": {cert: "a.test", records: "3 1 1", proven: "a.test", first: good, want: good},
		"a new TLS where it is required":       {cert: "m.test", required: true, first: good, want: good},
	} {
		for _, reused := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", reused", false: ""}[reused], func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, "a.test. 60 MX 10 m.test.", "b.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1")
				w.trustAD, w.set.IdleTimeout = true, time.Minute
				w.options.Demand = func(site, _ string) outbound.Demand {
					if site == "b.test" && c.required {
						return outbound.Demand{TLS: "required", From: "set for b.test"}
					}
					return outbound.Demand{}
				}
				w.o.Close()
				w.o = outbound.New(w.options)
				config := testkit.NewCA(t).ServerConfig(t, c.cert)
				if c.change != nil {
					c.change(config)
				}
				m := testkit.StartMX(t, testkit.MXOptions{TLS: config})
				w.route("10.0.0.1:25", m)
				if c.records != "" {
					w.dns.Add(tlsa(t, at, c.records, config))
				}
				for _, name := range append(strings.Fields(c.proven), "b.test", "m.test", at) {
					w.dns.Prove(name)
				}
				if reused {
					w.want(w.send("x@a.test"), c.first)
				}
				w.want(w.send("x@b.test"), c.want)
				if both := c.first == good && c.want == good; reused && both && m.Connections() != 1 {
					t.Errorf("%d connections", m.Connections())
				}
			})
		}
	}
}

// TestTraceOfReuse: what a message's trace says of the proof is what was asked for this
// message, and not for the one that the connection was made for.
func TestTraceOfReuse(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"a.test x.test a.test x.test", "x.test a.test x.test"} {
		p := newPoliced(t, "a.test. 60 MX 10 mx.x.test.")
		p.set.IdleTimeout = time.Minute
		m := p.mx(testkit.MXOptions{TLS: p.ca.ServerConfig(t, "mx.x.test")}, testkit.MXRule{Command: "RCPT", Contains: "gone@", Reply: "550 5.1.1 Unknown"})
		p.publish("1", "enforce", "mx.x.test")
		for _, site := range strings.Fields(order) {
			for _, o := range p.send("u@"+site, "gone@"+site) {
				if !strings.HasPrefix(o.TLS, "TLSv1.3 TLS_") || strings.HasSuffix(o.TLS, ", verified (MTA-STS)") != (site == "x.test") {
					t.Errorf("%s, of %s: %q", site, order, o.TLS)
				}
			}
		}
		if m.Connections() != 1 {
			t.Errorf("%d connections", m.Connections())
		}
	}
}
