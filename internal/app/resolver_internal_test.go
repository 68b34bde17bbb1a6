package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestCheckOfTheSystemResolver: one that resolv.conf has us believe is put to the proof
// like one of the settings.
func TestCheckOfTheSystemResolver(t *testing.T) {
	t.Parallel()
	const who = `"options trust-ad" in /etc/resolv.conf: `
	checks := func(d *testkit.DNS) { d.Prove("good.test"); d.Fail("bad.test", testkit.DNSServFail) }
	lies := func(d *testkit.DNS) { d.Prove("good.test") }
	for _, c := range []struct {
		name, options, resolver string
		trustAD                 bool
		setup                   func(*testkit.DNS)
		warning, fault          string // how it begins, empty = there is none
		asked                   bool
	}{
		{name: "it checks", options: "options edns0 trust-ad\n", setup: checks, asked: true},
		{name: "it passes on what is wrong", options: "options trust-ad\n", setup: lies, asked: true,
			fault: who + "the resolver does not check DNSSEC, or does not tell: there is an answer for bad.test, whose signatures are wrong on purpose; " +
				"name one in dns.resolver that does, or remove the option there"},
		{name: "it does not tell", options: "options trust-ad\n", setup: func(*testkit.DNS) {}, asked: true,
			warning: who + "the resolver does not check DNSSEC, or does not tell: nothing is said of a name that is signed: good.test; DANE is not used"},
		{name: "there is no network", options: "options trust-ad\n", setup: func(d *testkit.DNS) { d.Fail("good.test", testkit.DNSServFail) }, asked: true,
			warning: who + "no proof could be made"},
		{name: "it is not believed", options: "options edns0\n", setup: lies},
		{name: "the settings name another", options: "options trust-ad\n", resolver: "192.0.2.2", setup: lies},
		{name: "the settings believe it", trustAD: true, setup: lies, asked: true, fault: "dns.trust_ad: the resolver does not check DNSSEC"},
		{name: "both believe it", options: "options trust-ad\n", trustAD: true, setup: func(*testkit.DNS) {}, asked: true, fault: "dns.trust_ad: the resolver does not check DNSSEC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := testkit.StartDNS(t, "good.test. 60 A 10.0.0.1", "bad.test. 60 A 10.0.0.1")
			c.setup(d)
			file := filepath.Join(t.TempDir(), "resolv.conf")
			if err := os.WriteFile(file, []byte("nameserver 192.0.2.1\n"+c.options), 0o600); err != nil {
				t.Fatal(err)
			}
			settings := config.DNS{Resolver: c.resolver, TrustAD: c.trustAD, ProofSigned: "good.test", ProofBogus: "bad.test"}
			o := resolverOf(settings)
			o.ResolvConf = file
			o.Exchange = func(ctx context.Context, network, _ string, m *dns.Msg) (*dns.Msg, error) {
				answer, _, err := (&dns.Client{Net: network}).ExchangeContext(ctx, m, d.Addr)
				return answer, err
			}
			warning, err := checkResolver(t.Context(), settings, dnsx.New(o))
			if (c.warning == "") != (warning == "") || !strings.HasPrefix(warning, c.warning) {
				t.Errorf("warning %q", warning)
			}
			if (c.fault == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), c.fault) {
				t.Errorf("error %v", err)
			}
			if asked := len(d.Queries()) > 0; asked != c.asked {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}
