package outbound_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

func hops(list ...route.Host) *outbound.Relay { return &outbound.Relay{To: list} }

func TestRelayDomain(t *testing.T) {
	t.Parallel()
	const ok = "delivered 250 2.0.0 theirs"
	records := []string{
		"x.test. 60 MX 10 m.test.", "x.test. 60 MX 20 us.test.", "x.test. 60 MX 30 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2",
		"a.test. 60 A 10.0.0.3", "b.test. 60 A 10.0.0.4", "us.test. 60 A 10.0.0.9", "loop.test. 60 MX 10 us.test.", "null.test. 60 MX 0 .",
	}
	a, b := route.Host{Name: "a.test"}, route.Host{Name: "b.test", Port: 2525}
	for _, c := range []struct {
		name, to string
		relay    *outbound.Relay
		setup    func(*world)
		reached  string
		want     string
		dials    string
	}{
		{"the next host, whatever the MX are", "u@x.test", hops(a), nil, "10.0.0.3:25", ok, "10.0.0.3:25"},
		{"the second where the first is down", "u@x.test", hops(a, b), nil, "10.0.0.4:2525", ok, "10.0.0.3:25 10.0.0.4:2525"},
		{"the first while it is up", "u@x.test", hops(b, a), nil, "10.0.0.4:2525", ok, "10.0.0.4:2525"},
		{"an address", "u@x.test", hops(route.Host{Name: "2001:db8::7"}), nil, "[2001:db8::7]:25", ok, "[2001:db8::7]:25"},
		{"beside a smart host", "u@x.test", hops(a), func(w *world) { w.set.SmartHost = outbound.SmartHost{Host: "smart.test", Port: 25} }, "10.0.0.3:25", ok, "10.0.0.3:25"},
		{"the backup: those preferred to us", "u@x.test", hops(), nil, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"the backup: the primary is down", "u@x.test", hops(), nil, "10.0.0.2:25", "deferred 451 4.4.1 ours", "10.0.0.1:25"},
		{"the backup, beside a smart host", "u@x.test", hops(), func(w *world) { w.set.SmartHost = outbound.SmartHost{Host: "smart.test", Port: 25} }, "10.0.0.1:25", ok, "10.0.0.1:25"},
		{"we are its MX, and nobody else is named", "u@loop.test", hops(), nil, "", "deferred 451 4.4.6 ours", "-"},
		{"the next host is us by its name", "u@x.test", hops(route.Host{Name: "us.test"}), nil, "", "deferred 451 4.4.6 ours", "-"},
		{"another program of our host", "u@x.test", hops(route.Host{Name: "us.test", Port: 10025}), nil, "10.0.0.9:10025", ok, "10.0.0.9:10025"},
		{"the next host is a listener of ours", "u@x.test", hops(b), func(w *world) { w.ours = netip.MustParseAddrPort("10.0.0.4:2525") }, "", "deferred 451 4.4.6 ours", "-"},
		{"behind us nobody is tried", "u@x.test", hops(a, b, route.Host{Name: "10.0.0.5"}), func(w *world) { w.ours = netip.MustParseAddrPort("10.0.0.4:2525") }, "10.0.0.5:25", "deferred 451 4.4.1 ours", "10.0.0.3:25"},
		{"a next host without address keeps the mail", "u@x.test", hops(route.Host{Name: "gone.test"}), nil, "", "deferred 451 4.4.4 ours", "-"},
		{"the domain is gone from DNS", "u@gone.test", hops(), nil, "", "deferred 451 4.1.2 ours", "-"},
		{"a null MX keeps the mail", "u@null.test", hops(), nil, "", "deferred 451 4.1.10 ours", "-"},
		{"it cannot be told", "u@x.test", hops(a), func(w *world) { w.lost = errors.New("no database") }, "10.0.0.3:25", "deferred 451 4.4.3 ours", "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, records...)
			site := c.to[strings.IndexByte(c.to, '@')+1:]
			w.relays = map[string]*outbound.Relay{site: c.relay}
			if c.reached != "" {
				w.route(c.reached, testkit.StartMX(t, testkit.MXOptions{}))
			}
			if c.setup != nil {
				c.setup(w)
			}
			w.want(w.send(c.to), c.want)
			if w.dials() != strings.Trim(c.dials, "-") {
				t.Errorf("dialed %s, want %s", w.dials(), c.dials)
			}
		})
	}
}

// What a relay domain asks of its next hosts holds for connections that were made for
// other domains, too.
func TestRelayDomainVerifies(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	w := newWorld(t, "good.test. 60 A 10.0.0.1", "bad.test. 60 A 10.0.0.2", "plain.test. 60 A 10.0.0.3", "y.test. 60 MX 10 bad.test.")
	w.set.IdleTimeout = time.Minute
	w.tls = ca.ClientConfig("")
	w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{TLS: ca.ServerConfig(t, "good.test")}))
	w.route("10.0.0.2:25", testkit.StartMX(t, testkit.MXOptions{TLS: ca.ServerConfig(t, "another.test")}))
	w.route("10.0.0.3:25", testkit.StartMX(t, testkit.MXOptions{}))
	relay := hops()
	relay.Verify = true
	w.relays = map[string]*outbound.Relay{"x.test": relay}
	w.want(w.send("u@y.test"), "delivered 250 2.0.0 theirs")
	for host, want := range map[string]string{
		"good.test":  "delivered 250 2.0.0 theirs",
		"bad.test":   "deferred 454 4.7.5 ours",
		"plain.test": "deferred 454 4.7.4 ours",
	} {
		relay.To = []route.Host{{Name: host}}
		got := w.send("u@x.test")
		w.want(got, want)
		if want := "the relay domain x.test demands"; got[0].Ours && !strings.Contains(got[0].Reply, want) {
			t.Errorf("%s: %q lacks %q", host, got[0].Reply, want)
		}
	}
	relay.Verify = false
	w.want(w.send("u@x.test"), "delivered 250 2.0.0 theirs")
}

// A connection that was kept is not used once the operator has named other hosts.
func TestRelayDomainMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a.test. 60 A 10.0.0.1", "b.test. 60 A 10.0.0.2")
	w.set.IdleTimeout = time.Minute
	old, fresh := testkit.StartMX(t, testkit.MXOptions{}), testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:25", old)
	w.route("10.0.0.2:25", fresh)
	w.route("10.0.0.1:2525", fresh)
	for i, hop := range []route.Host{{Name: "a.test"}, {Name: "b.test"}, {Name: "a.test"}, {Name: "a.test", Port: 2525}} {
		w.relays = map[string]*outbound.Relay{"x.test": hops(hop)}
		w.want(w.send("u@x.test"), "delivered 250 2.0.0 theirs")
		if got, want := len(old.Messages()), []int{1, 1, 2, 2}[i]; got != want {
			t.Errorf("step %d: the old host has %d messages, want %d", i, got, want)
		}
	}
}

// A host may have other servers at other ports.
func TestRelayDomainAtAnotherPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "y.test. 60 MX 10 a.test.", "a.test. 60 A 10.0.0.1")
	w.set.IdleTimeout = time.Minute
	public, inside := testkit.StartMX(t, testkit.MXOptions{}), testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:25", public)
	w.route("10.0.0.1:2525", inside)
	w.relays = map[string]*outbound.Relay{"x.test": hops(route.Host{Name: "a.test", Port: 2525})}
	for _, to := range []string{"u@y.test", "u@x.test", "u@y.test"} {
		w.want(w.send(to), "delivered 250 2.0.0 theirs")
	}
	if a, b := len(public.Messages()), len(inside.Messages()); a != 2 || b != 1 {
		t.Errorf("%d and %d messages", a, b)
	}
}

func TestExplainOfARelayDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "a.test. 60 A 10.0.0.1", "mx.mail.example.com. 60 A 10.0.0.2")
	w.relays = map[string]*outbound.Relay{"x.test": {To: []route.Host{{Name: "mx.mail.example.com"}, {Name: "a.test", Port: 26}}, Verify: true}}
	r := w.o.Explain(t.Context(), w.address("u@x.test").Domain, "")
	if r.By != "next host" || len(r.Hosts) != 2 || r.Hosts[1].Addresses[0] != "10.0.0.1:26" || !strings.Contains(r.TLS, "verified (relay domain)") {
		t.Errorf("%+v", r)
	}
	if got := w.o.Provider(t.Context(), "x.test"); got != "example.com" {
		t.Errorf("the provider is %q", got)
	}
}

// TestOurNameInEHLO: DNS may have another name for us and, behind NAT, an address that no
// interface here has. Who answers EHLO with our name is us, but where the operator sends
// mail there himself.
func TestOurNameInEHLO(t *testing.T) {
	t.Parallel()
	const backup, ok = "deferred 451 4.4.1 ours", "delivered 250 2.0.0 theirs"
	primary, public, behind := "x.test. 60 MX 10 m.test.", "x.test. 60 MX 20 mx2.x.test.", "x.test. 60 MX 30 n.test."
	next := hops(route.Host{Name: "m.test"}, route.Host{Name: "mx2.x.test"}, route.Host{Name: "n.test"})
	for _, c := range []struct {
		name, to string
		mx       []string
		relay    *outbound.Relay // of x.test; nil = it is none
		setup    func(*world)
		want     string
		dials    string
	}{
		{"a relay domain keeps the mail", "u@x.test", []string{primary, public, behind}, hops(), nil, backup, "10.0.0.1:25 10.0.0.2:25"},
		{"nobody is preferred to us", "u@x.test", []string{public, behind}, hops(), nil, "deferred 451 4.4.6 ours", "10.0.0.2:25"},
		{"the one behind us has no address", "u@x.test", []string{public, "x.test. 60 MX 30 gone.test."}, hops(), nil, "deferred 451 4.4.6 ours", "10.0.0.2:25"},
		{"the one before us has none for now", "u@x.test", []string{"x.test. 60 MX 10 lost.test.", public}, hops(), func(w *world) { w.dns.Fail("lost.test", testkit.DNSServFail) }, "deferred 451 4.4.3 ours", "10.0.0.2:25"},
		{"the second next host", "u@x.test", nil, next, nil, backup, "10.0.0.1:25 10.0.0.2:25"},
		{"a next host at another port", "u@x.test", nil, hops(route.Host{Name: "mx2.x.test", Port: 2525}), nil, ok, "10.0.0.2:2525"},
		{"another domain: those before us", "u@x.test", []string{primary, public, behind}, nil, nil, backup, "10.0.0.1:25 10.0.0.2:25"},
		{"another domain: nobody before us", "u@x.test", []string{public, behind}, nil, nil, "failed 554 5.4.6 ours", "10.0.0.2:25"},
		{"our public address", "u@[10.0.0.2]", nil, nil, nil, "failed 554 5.4.6 ours", "10.0.0.2:25"},
		{"a smart host", "u@x.test", nil, nil, func(w *world) {
			w.set.SmartHost = outbound.SmartHost{Host: "mx2.x.test", Port: 25, TLS: "none"}
		}, ok, "10.0.0.2:25"},
		{"a route", "u@r.test", nil, nil, func(w *world) {
			w.ways["r"] = route.Route{Name: "r", TLS: "none", Hosts: []route.Host{{Name: "mx2.x.test", Port: 25}}}
		}, ok, "10.0.0.2:25"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(c.mx, "m.test. 60 A 10.0.0.1", "mx2.x.test. 60 A 10.0.0.2", "n.test. 60 A 10.0.0.3")...)
			if c.relay != nil {
				w.relays = map[string]*outbound.Relay{"x.test": c.relay}
			}
			us := testkit.StartMX(t, testkit.MXOptions{Hostname: "Us.test"})
			w.route("10.0.0.2:25", us)
			w.route("10.0.0.2:2525", us)
			w.route("10.0.0.3:25", testkit.StartMX(t, testkit.MXOptions{}))
			if c.setup != nil {
				c.setup(w)
			}
			job := w.job(c.to)
			if c.to == "u@r.test" {
				job.Recipients[0].Site = route.Site("r")
			}
			w.want(w.deliver(t.Context(), job)[0], c.want)
			if w.dials() != c.dials {
				t.Errorf("dialed %s, want %s", w.dials(), c.dials)
			}
		})
	}
}
