package main

import (
	"strings"
	"testing"
)

// TestTLSRulesThatWouldDoNothing are refused with where it is set instead; all other
// limits of the same names hold, and what was set once can be taken back.
func TestTLSRulesThatWouldDoNothing(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[outbound]\nsmart_host = \"Smart.hub.test:2526\"\nsmart_host_tls = \"none\"\n")
	s.do("", "domain", "add", "next.test", "--relay", "--to", "192.0.2.1:26")
	s.do("", "domain", "add", "mx.test", "--relay")
	limits := func(args ...string) string {
		return strings.Join(strings.Fields(s.do("", append([]string{"outbound"}, args...)...)), " ")
	}
	for name, instead := range map[string]string{
		"route:hub":      "'hayauma route set hub --host ... --tls ...'",
		"Next.Test":      "'hayauma domain set next.test --tls verify'",
		"smart.hub.test": "outbound.smart_host_tls",
	} {
		for _, rule := range []string{"none", "opportunistic", "required", "verified"} {
			s.fails(instead, "", "outbound", "limit", name, "--tls", rule, "--rate", "1/s")
		}
		s.fails(instead, "", "outbound", "limit", name, "--tls", "none", "--despite-policy")
		got := limits("limit", name, "--connections", "3", "--unset", "tls")
		if !strings.Contains(got, "connections 3 ") || strings.Contains(got, "1/s") {
			t.Errorf("%s:\n%s", name, got)
		}
		if tls := strings.Contains(got, "tls"); tls == strings.HasPrefix(name, "route:") {
			t.Errorf("%s, the limits of TLS:\n%s", name, got)
		}
	}
	s.do("", "domain", "set", "next.test", "--to", "")
	for _, name := range []string{"*", "x.test", "mx.test", "next.test", "hub.test", "[192.0.2.1]"} {
		if got := limits("limit", name, "--tls", "required"); !strings.Contains(got, "tls required set on ") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	s.do("", "domain", "set", "next.test", "--to", "192.0.2.1")
	if got := limits("limit", "NEXT.test"); !strings.HasSuffix(got, " for next.test") {
		t.Errorf("what was set before:\n%s", got)
	}
	if got := limits("limit", "NEXT.test", "--unset", "tls"); !strings.HasSuffix(got, " for *") {
		t.Errorf("what has no effect any more cannot be taken back:\n%s", got)
	}
}

// TestLimitsThatHoldElsewhere: what is set for a name whose mail goes to a provider of another
// one says so; more recipients than any transaction has are refused.
func TestLimitsThatHoldElsewhere(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[outbound]\nsmart_host = \"smart.hub.test:2526\"\nsmart_host_tls = \"none\"\n")
	const elsewhere = "for x.test; mail of x.test goes to the provider smart.hub.test"
	if got := s.do("", "outbound", "limit", "x.test", "--rate", "1/h"); strings.Count(got, elsewhere) != 1 {
		t.Error(got)
	}
	if got := s.do("", "outbound", "limit", "x.test", "--unset", "rate", "--tls", "required"); strings.Contains(got, "goes to") {
		t.Errorf("a TLS rule is for domains as well:\n%s", got)
	}
	if got := s.do("", "outbound", "limit", "smart.hub.test", "--rate", "1/h"); strings.Contains(got, "goes to") {
		t.Error(got)
	}
	s.fails("from 1 to 100; no server has to take more", "", "outbound", "limit", "x.test", "--recipients", "500")
}

// TestExplainAProxy: it is named, and none of our addresses.
func TestExplainAProxy(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[outbound]\nproxy = \"socks5://127.0.0.1:1080\"\nsmart_host = \"127.0.0.7:2526\"\nsmart_host_tls = \"none\"\n")
	s.house()
	s.do("", "route", "set", "r", "--host", "127.0.0.8:25", "--tls", "none", "--proxy", "http://127.0.0.1:3128")
	s.do("", "route", "set", "plain", "--host", "127.0.0.8:25", "--tls", "none")
	s.do("", "route", "rule", "set", "--recipient", "r.test", "--to", "r")
	s.do("", "route", "rule", "set", "--recipient", "plain.test", "--to", "plain")
	for domain, want := range map[string]string{"far.test": "proxy   socks5://127.0.0.1:1080, and from its address\n", "r.test": "proxy   http://127.0.0.1:3128, and from its address\n"} {
		if got := s.do("", "outbound", "explain", domain); !strings.Contains(got, want) || strings.Contains(got, "source ") {
			t.Error(got)
		}
	}
	if got := s.do("", "outbound", "explain", "plain.test"); strings.Contains(got, "proxy") || !strings.Contains(got, "source  127.0.0.1 (no pool") {
		t.Error(got)
	}
}
