package outbound_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

// way makes a route of hosts on port 587.
func (w *world) way(name, tls string, hosts ...string) {
	w.t.Helper()
	r := route.Route{Name: name, Kind: route.SMTP, TLS: tls, Changed: 1}
	for _, text := range hosts {
		h, err := route.ParseHost(text, 587)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Hosts = append(r.Hosts, h)
	}
	w.ways[name] = r
}

// by is send for mail that goes by a route.
func (w *world) by(name string, to ...string) []queue.Outcome {
	w.t.Helper()
	job := w.job(to...)
	for i := range job.Recipients {
		job.Recipients[i].Site = route.Site(name)
	}
	return w.deliver(w.t.Context(), job)[0]
}

// TestRouteFailsOver: the next host of a route is tried if one is not there, stays
// silent, or says that it is not ready; each on its own port.
func TestRouteFailsOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		rules []testkit.MXRule // of the first host; nil = nobody is there
		up    bool
		want  string
		first bool
	}{
		{name: "nobody is there", want: good},
		{name: "it is not ready", up: true, rules: []testkit.MXRule{{Command: "CONNECT", Reply: "421 4.3.2 not now", Hangup: true}}, want: good},
		{name: "it hangs up", up: true, rules: []testkit.MXRule{{Command: "CONNECT", Drop: true}}, want: good},
		{name: "it refuses the login", up: true, rules: []testkit.MXRule{{Command: "AUTH", Reply: "454 4.7.0 later"}}, want: good},
		{name: "it refuses the message", up: true, rules: []testkit.MXRule{{Command: "MAIL", Reply: "550 5.7.1 no"}}, want: "failed 550 5.7.1 theirs", first: true},
		{name: "it works", up: true, want: good, first: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ca := testkit.NewCA(t)
			w := newWorld(t, "one.test. 60 A 10.0.0.1", "two.test. 60 A 10.0.0.2", "x.test. 60 MX 10 other.test.")
			w.tls = ca.ClientConfig("")
			if c.up {
				w.route("10.0.0.1:587", testkit.StartMX(t, testkit.MXOptions{Auth: true, TLS: ca.ServerConfig(t, "one.test")}, c.rules...))
			}
			two := testkit.StartMX(t, testkit.MXOptions{Auth: true, TLS: ca.ServerConfig(t, "two.test")})
			w.route("10.0.0.2:2525", two)
			w.way("r", "starttls", "two.test:2525,10", "one.test,5")
			r := w.ways["r"]
			r.User, r.Secret = "me", "p"
			w.ways["r"] = r
			w.want(w.by("r", "a@x.test"), c.want)
			if got := two.Messages(); c.first != (len(got) == 0) || !c.first && (got[0].Login != "me" || !got[0].TLS) {
				t.Errorf("the second host has %+v; dialled: %s", got, w.dials())
			}
		})
	}
}

// TestRouteOfManyDomains: what goes by a route goes together, whatever its domains.
func TestRouteOfManyDomains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:25", m)
	w.way("r", "none", "10.0.0.1:25")
	w.set.SmartHost = outbound.SmartHost{Host: "smart.test", Port: 587} // is for what has no route
	w.want(w.by("r", "a@x.test", "b@y.test"), good, good)
	if got := m.Messages(); len(got) != 1 || len(got[0].Recipients) != 2 {
		t.Errorf("%+v", got)
	}
	if got := w.o.Provider(t.Context(), route.Site("r")); got != "route:r" {
		t.Errorf("provider %s", got)
	}
}

// TestRouteDelays: what is wrong with a route is mended here, so that it delays mail and
// bounces nothing.
func TestRouteDelays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dns.Fail("broken.test", testkit.DNSServFail)
	w.way("down", "none", "10.0.0.1,5", "10.0.0.2,5", "10.0.0.3,10")
	w.way("nowhere", "none", "nothing.test")
	w.way("broken", "none", "broken.test")
	for name, words := range map[string]string{
		"down": "connection refused", "nowhere": "has no address", "broken": "cannot be looked up", "gone": "is not there any more",
	} {
		got := w.by(name, "a@x.test")[0]
		if got.Result != queue.TryLater || !got.Ours || !got.Unreached || !strings.Contains(got.Reply, words) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := strings.Fields(w.dials()); len(got) != 3 || got[2] != "10.0.0.3:587" {
		t.Errorf("tried: %s", got)
	}
}

// TestRouteKeepsToItself: a connection with a login serves nobody else, and none that was
// made before a change.
func TestRouteKeepsToItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x.test. 60 MX 10 mx.test.", "mx.test. 60 A 10.0.0.1")
	m := testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:25", m)
	w.way("r", "none", "mx.test:25")
	w.way("s", "none", "mx.test:25")
	w.set.IdleTimeout = time.Minute
	for i, step := range []struct {
		send        func() []queue.Outcome
		connections int
	}{
		{func() []queue.Outcome { return w.by("r", "a@x.test") }, 1},
		{func() []queue.Outcome { return w.by("r", "a@y.test") }, 1},
		{func() []queue.Outcome { return w.by("s", "a@x.test") }, 2},
		{func() []queue.Outcome { return w.send("a@x.test") }, 3},
		{func() []queue.Outcome { w.way("r", "none", "mx.test:25", "10.0.0.9,7"); return w.by("r", "a@x.test") }, 3},
		{func() []queue.Outcome {
			r := w.ways["r"]
			r.Changed++
			w.ways["r"] = r
			return w.by("r", "a@x.test")
		}, 4},
	} {
		w.want(step.send(), good)
		if got := m.Connections(); got != step.connections {
			t.Errorf("step %d: %d connections, want %d", i, got, step.connections)
		}
	}
}

// TestRouteShares: equal hosts are tried by their weights.
func TestRouteShares(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := testkit.StartMX(t, testkit.MXOptions{}), testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:587", a)
	w.route("10.0.0.2:587", b)
	w.way("r", "none", "10.0.0.1,0,100", "10.0.0.2,0,100")
	for range 60 {
		w.want(w.by("r", "a@x.test"), good)
	}
	if len(a.Messages()) < 10 || len(b.Messages()) < 10 {
		t.Errorf("%d and %d", len(a.Messages()), len(b.Messages()))
	}
}

// lmtp makes a route of one LMTP host.
func (w *world) lmtp(name string, m *testkit.MX) {
	w.t.Helper()
	w.way(name, "opportunistic", "10.0.0.1:24")
	r := w.ways[name]
	r.Kind = route.LMTP
	w.ways[name] = r
	w.route("10.0.0.1:24", m)
}

// TestLMTP: each recipient has the answer that is his, to RCPT or to the message.
func TestLMTP(t *testing.T) {
	t.Parallel()
	for _, chunking := range []bool{false, true} {
		keywords := []string{"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"}
		if chunking {
			keywords = append(keywords, "CHUNKING")
		}
		w := newWorld(t)
		m := testkit.StartMX(t, testkit.MXOptions{LMTP: true, Keywords: keywords},
			testkit.MXRule{Command: "RCPT", Contains: "nobody", Reply: "550 5.1.1 no such user"},
			testkit.MXRule{Command: "END", Contains: "full", Reply: "452 4.2.2 mailbox full"},
			testkit.MXRule{Command: "END", Contains: "never", Reply: "550 5.7.1 not that"})
		w.lmtp("r", m)
		job := w.job("a@x.test", "nobody@x.test", "full@x.test", "never@y.test", "b@y.test")
		for i := range job.Recipients {
			job.Recipients[i].Site = route.Site("r")
		}
		fates := map[string]string{}
		for _, o := range w.deliver(t.Context(), job)[0] {
			i := slices.IndexFunc(job.Recipients, func(r queue.Recipient) bool { return r.ID == o.Recipient })
			fates[job.Recipients[i].Address.Local] = show(o)
		}
		for local, want := range map[string]string{
			"a": good, "nobody": "failed 550 5.1.1 theirs", "full": "deferred 452 4.2.2 theirs", "never": "failed 550 5.7.1 theirs", "b": good,
		} {
			if fates[local] != want {
				t.Errorf("%s: %s, want %s", local, fates[local], want)
			}
		}
		if c := m.Commands(); !strings.HasPrefix(c[0].Line, "LHLO ") || len(m.Messages()) != 1 || m.Messages()[0].Chunked != chunking {
			t.Errorf("%+v", c)
		}
	}
}

// TestLMTPEndsEarly: what was answered holds, the rest is tried again; and a message for
// nobody has no answer that we would wait for.
func TestLMTPEndsEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := testkit.StartMX(t, testkit.MXOptions{LMTP: true}, testkit.MXRule{Command: "END", Contains: "b@", Drop: true},
		testkit.MXRule{Command: "RCPT", Contains: "nobody", Reply: "550 5.1.1 no"}, testkit.MXRule{Command: "DATA", Contains: "", Nth: 2, Reply: "354 go on"})
	w.lmtp("r", m)
	w.want(w.by("r", "a@x.test", "b@x.test", "c@x.test"), good, "deferred 421 4.4.2 ours", "deferred 421 4.4.2 ours")
	w.want(w.by("r", "nobody@x.test"), "failed 550 5.1.1 theirs")
	other := testkit.StartMX(t, testkit.MXOptions{}) // which knows no LHLO
	w.lmtp("r", other)
	w.want(w.by("r", "a@x.test"), "deferred 500 5.5.1 theirs")
}

// TestLMTPSocket: the mail store of this machine is a path.
func TestLMTPSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := testkit.StartMX(t, testkit.MXOptions{LMTP: true})
	w.way("r", "opportunistic", "unix:/run/none", "unix:/run/lmtp,5")
	r := w.ways["r"]
	r.Kind = route.LMTP
	w.ways["r"] = r
	w.routes["/run/lmtp"] = m.Addr
	got := w.by("r", "a@x.test")
	w.want(got, good)
	if got[0].Host != "unix:/run/lmtp" || got[0].Addr.IsValid() {
		t.Errorf("%+v", got[0])
	}
	delete(w.routes, "/run/lmtp")
	got = w.by("r", "a@x.test")
	w.want(got, "deferred 451 4.4.1 ours")
	if want := "connect to unix:/run/lmtp: connection refused"; got[0].Reply != want {
		t.Errorf("%q, want %q", got[0].Reply, want)
	}
	if e := w.o.Explain(t.Context(), mail.Domain{ASCII: route.Site("r")}, ""); len(e.Hosts) != 2 || e.Hosts[0].Addresses[0] != "/run/none" {
		t.Errorf("%+v", e)
	}
}

// TestProxy: mail leaves by the proxy of its route, or of the settings, a web hook too.
func TestProxy(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"socks5://", "http://"} {
		w := newWorld(t, "x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1")
		m := testkit.StartMX(t, testkit.MXOptions{})
		h := w.secureHook("hook")
		p := testkit.StartProxy(t, map[string]string{"10.0.0.1:25": m.Addr, "10.0.0.1:587": m.Addr, h.Listener.Addr().String(): h.Listener.Addr().String()})
		w.routes = map[string]string{p.Addr: p.Addr} // nothing else can be reached from here
		w.way("r", "none", "10.0.0.1")
		for name, r := range w.ways {
			r.Proxy = scheme + p.Addr
			w.ways[name] = r
		}
		w.want(w.by("r", "a@x.test"), good)
		w.want(w.by("hook", "a@x.test"), "delivered 250 2.0.0 theirs")
		w.want(w.send("a@x.test"), "deferred 451 4.4.1 ours")
		w.set.Proxy = scheme + p.Addr
		w.want(w.send("a@x.test"), good)
		r := w.ways["r"]
		r.Proxy = ""
		w.ways["r"] = r
		w.want(w.by("r", "a@x.test"), "deferred 451 4.4.1 ours")
		if got := p.Asked(); len(got) != 3 {
			t.Errorf("%s was asked for %v", scheme, got)
		}
		delete(w.routes, p.Addr)
		if got := w.send("a@x.test")[0]; !got.Unreached || !strings.Contains(got.Reply, "connect by the proxy "+scheme) {
			t.Errorf("%+v", got)
		}
	}
}

// TestProxyLogin: mail leaves by a proxy that wants a login, a web hook too; a wrong one, or
// none, delays it, says what to do, and shows the password to nobody.
func TestProxyLogin(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"socks5://", "http://"} {
		w := newWorld(t)
		m := testkit.StartMX(t, testkit.MXOptions{})
		h := w.secureHook("hook")
		p := testkit.StartProxy(t, map[string]string{"10.0.0.1:25": m.Addr, "10.0.0.1:587": m.Addr, h.Listener.Addr().String(): h.Listener.Addr().String()})
		p.Want("us", "right")
		w.routes = map[string]string{p.Addr: p.Addr} // nothing else can be reached from here
		w.way("r", "none", "10.0.0.1")
		for _, test := range []struct{ user, password string }{{"us@", "hunter2"}, {"", ""}, {"us@", "right"}} {
			for name, r := range w.ways {
				r.Proxy, r.ProxySecret = scheme+test.user+p.Addr, route.Secret(test.password)
				r.Changed++
				w.ways[name] = r
				got := w.by(name, "a@x.test")[0]
				if test.password == "right" {
					if got.Result != queue.Delivered {
						t.Errorf("%s: %+v", name, got)
					}
					continue
				}
				said := " wants a login"
				if test.password != "" {
					said = " refuses our login"
				}
				want := "The proxy " + r.Proxy + said + ": give its user and password with 'hayauma route set " + name + " ... --proxy-password-stdin'"
				if got.Result != queue.TryLater || !got.Ours || got.Code != 454 || got.Enhanced != "4.7.8" || !got.Unreached || got.Reply != want || got.Host == "" {
					t.Errorf("%s: %+v", name, got)
				}
			}
		}
		w.dns.Add("x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1")
		for password, said := range map[string]string{"": " wants a login", "wrong": " refuses our login"} {
			user := ""
			if password != "" {
				user = "us@"
			}
			w.set.Proxy, w.set.ProxyPassword = scheme+user+p.Addr, password
			got := w.send("a@x.test")[0]
			if want := "The proxy " + w.set.Proxy + said + ": set its user in outbound.proxy, and outbound.proxy_password_file"; got.Result != queue.TryLater || got.Reply != want {
				t.Errorf("%+v, want %q", got, want)
			}
		}
		w.set.Proxy, w.set.ProxyPassword = scheme+"us@"+p.Addr, "right"
		w.want(w.send("a@x.test"), good)
	}
}

func TestExplainRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "one.test. 60 A 10.0.0.1")
	w.way("r", "implicit", "one.test:465,5,7", "nothing.test,10")
	for name, parts := range map[string][]string{
		"r": {`"by":"route r"`, `{"name":"one.test","preference":5,"weight":7,"proven":true,"addresses":["10.0.0.1:465"]}`,
			`"fault":"451 4.4.4 The host nothing.test of the route r has no address"`, `"tls":"always; the certificate is verified (implicit)"`},
		"gone": {`"by":"route gone"`, `"reply":"451 4.4.4 The route gone`},
	} {
		got, err := json.Marshal(w.o.Explain(t.Context(), mail.Domain{ASCII: route.Site(name)}, ""))
		if missing := slices.DeleteFunc(parts, func(p string) bool { return strings.Contains(string(got), p) }); err != nil || len(missing) > 0 {
			t.Errorf("%s lacks %q, %v", got, missing, err)
		}
	}
}
