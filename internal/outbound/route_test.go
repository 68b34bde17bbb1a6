package outbound_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestRoute(t *testing.T) {
	t.Parallel()
	const ok = "delivered 250 2.0.0 theirs"
	for _, c := range []struct {
		name, to string
		records  []string
		setup    func(*world)
		reached  string // the one address that works
		want     string
		dials    string // empty = not looked at
	}{
		{"an MX", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"in order of preference", "a@x.test", []string{"x.test. 60 MX 30 m3.test.", "x.test. 60 MX 10 m1.test.", "x.test. 60 MX 20 m2.test.",
			"m1.test. 60 A 10.0.0.1", "m2.test. 60 A 10.0.0.2", "m3.test. 60 A 10.0.0.3"}, nil, "10.0.0.3:25", ok, "10.0.0.1:25 10.0.0.2:25 10.0.0.3:25"},
		{"no MX: the address", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"no MX: the IPv6 address", "a@x.test", []string{"x.test. 60 AAAA 2001:db8::1"}, nil, "[2001:db8::1]:25", ok, ""},
		{"null MX", "a@x.test", []string{"x.test. 60 MX 0 .", "x.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", "failed 556 5.1.10 ours", "-"},
		{"no domain", "a@x.test", nil, nil, "", "failed 550 5.1.2 ours", "-"},
		{"no record", "a@x.test", []string{"x.test. 60 TXT hello"}, nil, "", "failed 550 5.1.2 ours", "-"},
		{"an MX without address", "a@x.test", []string{"x.test. 60 MX 10 gone.test."}, nil, "", "failed 550 5.4.4 ours", "-"},
		{"one of two MX without address", "a@x.test", []string{"x.test. 60 MX 10 gone.test.", "x.test. 60 MX 20 m.test.", "m.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"the resolver fails", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, func(w *world) { w.dns.Fail("x.test", testkit.DNSServFail) }, "10.0.0.1:25", "deferred 451 4.4.3 ours", "-"},
		{"the resolver is silent", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, func(w *world) { w.unanswered("x.test") }, "10.0.0.1:25", "deferred 451 4.4.3 ours", "-"},
		{"only the MX look-up fails", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, func(w *world) { w.dns.Fail("x.test", testkit.DNSServFail, "MX") }, "10.0.0.1:25", "deferred 451 4.4.3 ours", "-"},
		{"the MX's address look-up fails", "a@x.test", []string{"x.test. 60 MX 10 m.test."}, func(w *world) { w.dns.Fail("m.test", testkit.DNSServFail) }, "", "deferred 451 4.4.3 ours", "-"},
		{"AAAA fails, A answers", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, func(w *world) { w.dns.Fail("m.test", testkit.DNSServFail, "AAAA") }, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"A fails, AAAA answers", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 AAAA 2001:db8::1"}, func(w *world) { w.dns.Fail("m.test", testkit.DNSServFail, "A") }, "[2001:db8::1]:25", ok, ""},
		{"an alias", "a@x.test", []string{"x.test. 60 CNAME y.test.", "y.test. 60 MX 10 m.test.", "m.test. 60 CNAME n.test.", "n.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"an alias that loops", "a@x.test", []string{"x.test. 60 CNAME y.test.", "y.test. 60 CNAME x.test."}, nil, "", "deferred 451 4.4.3 ours", "-"},
		{"truncated answers", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, func(w *world) { w.dns.Fail("x.test", testkit.DNSTruncated) }, "10.0.0.1:25", ok, ""},
		{"we are the best MX", "a@x.test", []string{"x.test. 60 MX 10 US.test.", "x.test. 60 MX 20 m.test.", "m.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", "failed 554 5.4.6 ours", "-"},
		{"we are among the best MX", "a@x.test", []string{"x.test. 60 MX 10 us.test.", "x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", "failed 554 5.4.6 ours", "-"},
		{"we are the backup", "a@x.test", []string{"x.test. 60 MX 20 us.test.", "x.test. 60 MX 10 m.test.", "x.test. 60 MX 30 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2"}, nil, "10.0.0.2:25", "deferred 451 4.4.1 ours", "10.0.0.1:25"},
		{"our address and port", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, func(w *world) { w.ours = netip.MustParseAddrPort("10.0.0.1:25") }, "10.0.0.1:25", "failed 554 5.4.6 ours", "-"},
		{"our address, another port", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, func(w *world) { w.ours = netip.MustParseAddrPort("10.0.0.1:2525") }, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"our address among equals", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "x.test. 60 MX 10 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2"},
			func(w *world) { w.ours = netip.MustParseAddrPort("10.0.0.2:25") }, "10.0.0.1:25", "failed 554 5.4.6 ours", "-"},
		{"our address as backup", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "x.test. 60 MX 20 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2"},
			func(w *world) { w.ours = netip.MustParseAddrPort("10.0.0.2:25") }, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"a literal", "a@[10.0.0.7]", nil, nil, "10.0.0.7:25", ok, "10.0.0.7:25"},
		{"an IPv6 literal", "a@[IPv6:2001:db8::7]", nil, nil, "[2001:db8::7]:25", ok, "[2001:db8::7]:25"},
		{"an international domain", "a@b\u00fccher.test", []string{"xn--bcher-kva.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1"}, nil, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"families in turn", "a@x.test", []string{"x.test. 60 A 10.0.0.1", "x.test. 60 A 10.0.0.2", "x.test. 60 AAAA 2001:db8::1", "x.test. 60 AAAA 2001:db8::2"}, nil, "", "deferred 451 4.4.1 ours",
			"[2001:db8::1]:25 10.0.0.1:25 [2001:db8::2]:25 10.0.0.2:25"},
		{"IPv4 alone", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1", "m.test. 60 AAAA 2001:db8::1"}, ipv4Only, "", "deferred 451 4.4.1 ours", "10.0.0.1:25"},
		{"IPv4 alone, and the host has none", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 AAAA 2001:db8::1"}, ipv4Only, "[2001:db8::1]:25", "deferred 451 4.4.4 ours", "-"},
		{"IPv4 alone, and the host has no address", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 TXT x"}, ipv4Only, "", "failed 550 5.4.4 ours", "-"},
		{"IPv4 alone, and AAAA fails", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "m.test. 60 TXT x"}, func(w *world) { ipv4Only(w); w.dns.Fail("m.test", testkit.DNSServFail, "AAAA") }, "", "deferred 451 4.4.3 ours", "-"},
		{"IPv4 alone, and an IPv6 literal", "a@[IPv6:2001:db8::7]", nil, ipv4Only, "[2001:db8::7]:25", ok, "[2001:db8::7]:25"},
		{"refused", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, nil, "", "deferred 451 4.4.1 ours", "10.0.0.1:25"},
		{"silent, then another", "a@x.test", []string{"x.test. 60 MX 10 m.test.", "x.test. 60 MX 20 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2"},
			func(w *world) { w.hang("10.0.0.1:25") }, "10.0.0.2:25", ok, "10.0.0.1:25 10.0.0.2:25"},
		{"another port", "a@x.test", []string{"x.test. 60 A 10.0.0.1"}, func(w *world) { w.set.Port = 2525 }, "10.0.0.1:2525", ok, "10.0.0.1:2525"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.records...)
			if c.reached != "" {
				w.route(c.reached, testkit.StartMX(t, testkit.MXOptions{}))
			}
			if c.setup != nil {
				c.setup(w)
			}
			w.want(w.send(c.to), c.want)
			if c.dials != "" && w.dials() != strings.Trim(c.dials, "-") {
				t.Errorf("dialed %s", w.dials())
			}
		})
	}
}

func TestEqualPreferencesAreShuffled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x.test. 60 MX 10 m.test.", "x.test. 60 MX 10 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2")
	first := map[string]bool{}
	for range 60 {
		w.send("a@x.test")
		first[strings.Fields(w.dials())[0]] = true
		w.dialed = nil
	}
	if len(first) != 2 {
		t.Errorf("first tries: %v", first)
	}
}

func TestHowMuchIsTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, n := range strings.Fields("1 2 3 4 5 6 7") {
		w.dns.Add("x.test. 60 MX 1"+n+" m"+n+".test.", "m"+n+".test. 60 A 10.0."+n+".1", "m"+n+".test. 60 A 10.0."+n+".2", "m"+n+".test. 60 A 10.0."+n+".3")
	}
	w.want(w.send("a@x.test"), "deferred 451 4.4.1 ours")
	if n := len(strings.Fields(w.dials())); n != 10 {
		t.Errorf("%d addresses tried: %s", n, w.dials())
	}
}

// TestEarlierAddresses: an outcome tells of the addresses that were tried in vain before,
// and not twice of the one that it is about.
func TestEarlierAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		"x.test. 60 MX 10 gone.test.", "x.test. 60 MX 20 busy.test.", "x.test. 60 MX 30 good.test.",
		"y.test. 60 MX 10 gone.test.", "y.test. 60 MX 20 busy.test.",
		"gone.test. 60 A 10.0.0.1", "busy.test. 60 A 10.0.0.2", "good.test. 60 A 10.0.0.3")
	w.route("10.0.0.2:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: "421 4.3.2 too busy"}))
	w.route("10.0.0.3:25", testkit.StartMX(t, testkit.MXOptions{}))
	const gone, busy = "gone.test 10.0.0.1:25 0 connect to gone.test[10.0.0.1]:25: connection refused", "busy.test 10.0.0.2:25 421 4.3.2 too busy"
	for to, want := range map[string][]string{"a@x.test": {gone, busy}, "a@y.test": {gone}} {
		began := mail.Micros(time.Now())
		o := w.send(to)[0]
		var got []string
		for _, b := range o.Before {
			got = append(got, fmt.Sprint(b.Host, " ", b.Addr, " ", b.Code, " ", b.Reply))
			if b.At < began || b.At > mail.Micros(time.Now()) {
				t.Errorf("%s: a time of %d", to, b.At)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, then %q: before that %q", to, o.Reply, got)
		}
	}
}
