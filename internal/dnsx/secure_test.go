package dnsx_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
)

// trusting is a resolver that is believed, as long as trust says so.
func trusting(server string, trust func() bool) *dnsx.Resolver {
	return dnsx.New(dnsx.Options{Server: server, Timeout: 300 * time.Millisecond, TrustAD: trust})
}

func yes() bool { return true }

// forward asks one server whomever the question is for.
func forward(to string) func(context.Context, string, string, *dns.Msg) (*dns.Msg, error) {
	return func(ctx context.Context, network, _ string, m *dns.Msg) (*dns.Msg, error) {
		answer, _, err := (&dns.Client{Net: network}).ExchangeContext(ctx, m, to)
		return answer, err
	}
}

func TestSecureMX(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t, "x.test. 60 MX 10 a.x.test.", "y.test. 60 MX 10 a.x.test.", "alias.test. 60 CNAME x.test.")
	d.Prove("x.test")
	d.Prove("alias.test")
	for _, c := range []struct {
		name  string
		trust bool
		want  string
	}{
		{"x.test", true, "a.x.test true x.test"},
		{"x.test", false, "a.x.test false x.test"},
		{"y.test", true, "a.x.test false y.test"},
		{"alias.test", true, "a.x.test true x.test"},
	} {
		list, err := trusting(d.Addr, func() bool { return c.trust }).MX(t.Context(), c.name)
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", c.name, list, err)
		} else if got := fmt.Sprintf("%s %v %s", list[0].Host, list[0].Secure, list[0].Domain); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTLSA(t *testing.T) {
	t.Parallel()
	const name = "_25._tcp.mx.test"
	d := testkit.StartDNS(t, name+". 60 TLSA 3 1 1 00FF", name+". 60 TLSA 2 0 2 AA", "_25._tcp.plain.test. 60 TLSA 3 1 1 00",
		"_25._tcp.to.test. 60 CNAME "+name+".", "_25._tcp.out.test. 60 CNAME _25._tcp.plain.test.",
		"_25._tcp.bogus.test. 60 TLSA 3 1 1 00", "_25._tcp.refused.test. 60 TLSA 3 1 1 00", "none.test. 60 A 10.0.0.1", "_25._tcp.text.test. 60 TXT x")
	for _, proven := range []string{name, "_25._tcp.to.test", "_25._tcp.bogus.test", "_25._tcp.refused.test", "_25._tcp.none.test"} {
		d.Prove(proven)
	}
	d.Fail("_25._tcp.bogus.test", testkit.DNSServFail)
	d.Fail("_25._tcp.refused.test", testkit.DNSRefused)
	for _, c := range []struct {
		name, want string
		secure     bool
		err        error
	}{
		{name, "[{3 1 1 [0 255]} {2 0 2 [170]}]", true, nil},
		{"_25._tcp.to.test", "[{3 1 1 [0 255]} {2 0 2 [170]}]", true, nil},
		{"_25._tcp.plain.test", "[{3 1 1 [0]}]", false, nil},
		{"_25._tcp.out.test", "[{3 1 1 [0]}]", false, nil},
		{"_25._tcp.none.test", "[]", false, dnsx.ErrNotFound},
		{"_25._tcp.text.test", "[]", false, dnsx.ErrNoData},
		{"_25._tcp.bogus.test", "[]", false, dnsx.ErrTemporary},
		{"_25._tcp.refused.test", "[]", false, dnsx.ErrTemporary},
	} {
		for _, trust := range []bool{true, false} {
			got, secure, err := trusting(d.Addr, func() bool { return trust }).TLSA(t.Context(), c.name)
			if !errors.Is(err, c.err) || fmt.Sprint(got) != c.want || secure != (c.secure && trust) {
				t.Errorf("%s, trust %v: %v, %v, %v", c.name, trust, got, secure, err)
			}
		}
	}
}

func TestTLSABases(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t, "signed.test. 60 A 10.0.0.1", "signed.test. 60 AAAA fd00::1", "six.test. 60 AAAA fd00::1", "plain.test. 60 A 10.0.0.1",
		"whole.test. 60 CNAME signed.test.", "begins.test. 60 CNAME plain.test.", "none.test. 60 CNAME plain.test.", "lost.test. 60 CNAME plain.test.",
		"half.test. 60 A 10.0.0.1", "silent.test. 60 A 10.0.0.1", "mixed.test. 60 A 10.0.0.1", "mixed.test. 60 AAAA fd00::1")
	for _, name := range []string{"signed.test", "six.test", "whole.test", "half.test"} {
		d.Prove(name)
	}
	d.Prove("begins.test", "CNAME")
	d.Prove("mixed.test", "A")
	d.Fail("lost.test", testkit.DNSServFail, "CNAME")
	d.Fail("half.test", testkit.DNSServFail, "AAAA")
	d.Fail("silent.test", testkit.DNSServFail)
	for _, c := range []struct {
		host, want string
		err        error
	}{
		{"signed.test", "[signed.test]", nil},
		{"Signed.Test.", "[signed.test]", nil},
		{"six.test", "[six.test]", nil},
		{"half.test", "[half.test]", nil},
		{"mixed.test", "[mixed.test]", nil},
		{"plain.test", "[]", nil},
		{"whole.test", "[signed.test whole.test]", nil},
		{"begins.test", "[begins.test]", nil},
		{"none.test", "[]", nil},
		{"lost.test", "[]", dnsx.ErrTemporary},
		{"silent.test", "[]", dnsx.ErrTemporary},
		{"gone.test", "[]", nil},
	} {
		got, err := trusting(d.Addr, yes).TLSABases(t.Context(), c.host)
		if !errors.Is(err, c.err) || fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, %v", c.host, got, err)
		}
	}
	before := len(d.Queries())
	if got, err := resolver(d.Addr).TLSABases(t.Context(), "signed.test"); got != nil || err != nil || len(d.Queries()) != before {
		t.Errorf("a resolver that is not trusted: %v, %v, %d questions", got, err, len(d.Queries())-before)
	}
}

// TestTrustOfTheSystem: resolv.conf speaks for the resolvers that it names, and for no
// others.
func TestTrustOfTheSystem(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t, "x.test. 60 MX 10 a.x.test.")
	d.Prove("x.test")
	for _, c := range []struct {
		options string
		want    bool
	}{
		{"", false},
		{"options edns0 trust-ad\n", true},
		{"options\ttrust-ad\n", true},
		{"options edns0\n# options trust-ad\n;options trust-ad\nsearch trust-ad\n", false},
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte("nameserver 192.0.2.1\n"+c.options), 0o600); err != nil {
			t.Fatal(err)
		}
		named := dnsx.Options{ResolvConf: file, Exchange: forward(d.Addr)}
		if list, err := dnsx.New(named).MX(t.Context(), "x.test"); err != nil || list[0].Secure != c.want {
			t.Errorf("%q: %+v, %v", c.options, list, err)
		}
		named.Server = "192.0.2.2"
		if list, err := dnsx.New(named).MX(t.Context(), "x.test"); err != nil || list[0].Secure {
			t.Errorf("%q, another server: %+v, %v", c.options, list, err)
		}
	}
}

func TestProve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		setup func(*testkit.DNS)
		want  error
		told  string
	}{
		{"it checks", func(d *testkit.DNS) { d.Prove("good.test"); d.Fail("bad.test", testkit.DNSServFail) }, nil, ""},
		{"it says nothing", func(d *testkit.DNS) { d.Fail("bad.test", testkit.DNSServFail) }, dnsx.ErrNoDNSSEC, "good.test"},
		{"it passes on what is wrong", func(d *testkit.DNS) { d.Prove("good.test") }, dnsx.ErrNoDNSSEC, "bad.test"},
		{"it says that all is fine", func(d *testkit.DNS) { d.Prove("good.test"); d.Prove("bad.test") }, dnsx.ErrNoDNSSEC, "bad.test"},
		{"all fails", func(d *testkit.DNS) {
			d.Fail("good.test", testkit.DNSServFail)
			d.Fail("bad.test", testkit.DNSServFail)
		}, errAny, "good.test"},
		{"nothing is there", func(d *testkit.DNS) { d.Remove("good.test"); d.Remove("bad.test") }, dnsx.ErrNotFound, "good.test"},
		{"the wrong one is gone", func(d *testkit.DNS) { d.Prove("good.test"); d.Remove("bad.test") }, dnsx.ErrNotFound, "bad.test"},
		{"the wrong one is refused", func(d *testkit.DNS) { d.Prove("good.test"); d.Fail("bad.test", testkit.DNSRefused) }, errAny, "bad.test"},
		{"it is silent", func(d *testkit.DNS) { d.Fail("good.test", testkit.DNSTimeout) }, errAny, "good.test"},
	} {
		d := testkit.StartDNS(t, "good.test. 60 A 10.0.0.1", "bad.test. 60 A 10.0.0.1")
		c.setup(d)
		err := resolver(d.Addr).Prove(t.Context(), "good.test", "bad.test")
		switch {
		case c.want == nil && err == nil:
		case err == nil || c.want == nil || !strings.Contains(err.Error(), c.told):
			t.Errorf("%s: %v", c.name, err)
		case errors.Is(c.want, errAny) && errors.Is(err, dnsx.ErrNoDNSSEC), !errors.Is(c.want, errAny) && !errors.Is(err, c.want):
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// errAny is an error that is no finding about the resolver.
var errAny = errors.New("any")

// TestSecureChain: a resolver may leave the end of the aliases to us; what one that is
// not proven leads to is not proven either (RFC 7672 §2.1.3).
func TestSecureChain(t *testing.T) {
	t.Parallel()
	zone := map[string]string{
		"_25._tcp.a.test.": "_25._tcp.a.test. 60 CNAME end.test.", "_25._tcp.b.test.": "_25._tcp.b.test. 60 CNAME end.test.",
		"end.test.": "end.test. 60 TLSA 3 1 1 00",
	}
	r := dnsx.New(dnsx.Options{Server: "192.0.2.1", TrustAD: yes, Exchange: func(_ context.Context, _, _ string, m *dns.Msg) (*dns.Msg, error) {
		name := m.Question[0].Name
		rr, err := dns.NewRR(zone[name])
		reply := new(dns.Msg).SetReply(m)
		reply.Answer, reply.AuthenticatedData = []dns.RR{rr}, name != "_25._tcp.b.test."
		return reply, err
	}})
	for name, want := range map[string]bool{"_25._tcp.a.test": true, "_25._tcp.b.test": false} {
		if list, secure, err := r.TLSA(t.Context(), name); len(list) != 1 || secure != want || err != nil {
			t.Errorf("%s: %v, %v, %v", name, list, secure, err)
		}
	}
}
