package route_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/route"
)

func open(t *testing.T, engine db.DB) *route.Store {
	t.Helper()
	s, err := route.Open(t.Context(), route.Options{DB: engine, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func way(name string, hosts ...string) route.Route {
	r := route.Route{Name: name, Kind: route.SMTP, TLS: "starttls"}
	for _, text := range hosts {
		h, err := route.ParseHost(text, 587)
		if err != nil {
			panic(err)
		}
		r.Hosts = append(r.Hosts, h)
	}
	return r
}

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	if s == "" {
		return mail.Domain{}
	}
	d, err := mail.ParseDomain(s)
	must(t, err)
	return d
}

// TestWhichRuleDecides: each line takes away the rule that decided in the line before.
func TestWhichRuleDecides(t *testing.T) {
	t.Parallel()
	engine := dbtest.New(t, route.Schema())
	s := open(t, engine)
	names := []string{"exact", "near", "far", "account", "sender", "tenant", "all"}
	for _, name := range names {
		must(t, s.Set(t.Context(), way(name, "h.test")))
	}
	const account, tenant = mail.ID(7_000_000), mail.ID(1)
	rules := []route.Rule{
		{What: route.Recipient, Value: "A.b.Example.TEST", Route: "exact"},
		{What: route.Recipient, Value: "*.b.example.test", Route: "near"},
		{What: route.Recipient, Value: "*.test", Route: "far"},
		{What: route.Account, Value: account.String(), Route: "account"},
		{What: route.Sender, Value: "from.test", Route: "sender"},
		{What: route.Tenant, Value: tenant.String(), Route: "tenant"},
		{What: route.Everyone, Route: "all"},
	}
	for _, r := range rules {
		must(t, s.SetRule(t.Context(), r))
	}
	q := route.Question{To: domain(t, "a.b.example.test"), Account: account, From: domain(t, "from.test"), Tenant: tenant}
	for i, r := range rules {
		for _, s := range []*route.Store{s, open(t, engine)} {
			if got := s.SiteFor(q); got != route.Site(names[i]) {
				t.Errorf("with %d rules: %s, want %s", len(rules)-i, got, names[i])
			}
			relay, want := q, q.To.ASCII
			if relay.Relay = true; r.What == route.Recipient {
				want = route.Site(names[i])
			}
			if got := s.SiteFor(relay); got != want {
				t.Errorf("with %d rules, to a relay domain: %s, want %s", len(rules)-i, got, want)
			}
		}
		must(t, s.RemoveRule(t.Context(), r))
	}
	if got := s.SiteFor(q); got != "a.b.example.test" {
		t.Errorf("without rules: %s", got)
	}
}

func TestWhatARuleHoldsFor(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, route.Schema()))
	must(t, s.Set(t.Context(), way("r", "h.test")))
	for _, r := range []route.Rule{
		{What: route.Recipient, Value: "*.example.test", Route: "r"},
		{What: route.Recipient, Value: "free.example.test", Route: route.Direct},
		{What: route.Recipient, Value: "例え.test", Route: "r"},
		{What: route.Sender, Value: "from.test", Route: "r"},
	} {
		must(t, s.SetRule(t.Context(), r))
	}
	for _, c := range []struct{ to, from, want string }{
		{"a.example.test", "", "route:r"},
		{"a.b.example.test", "", "route:r"},
		{"example.test", "", "example.test"},
		{"anexample.test", "", "anexample.test"},
		{"free.example.test", "from.test", "free.example.test"}, // the exception is a rule as well
		{"a.free.example.test", "", "route:r"},
		{"xn--r8jz45g.test", "", "route:r"},
		{"[192.0.2.1]", "", "[192.0.2.1]"},
		{"[192.0.2.1]", "from.test", "route:r"},
		{"x.test", "sub.from.test", "x.test"},
	} {
		if got := s.SiteFor(route.Question{To: domain(t, c.to), From: domain(t, c.from), Tenant: 1}); got != c.want {
			t.Errorf("to %s from %q: %s, want %s", c.to, c.from, got, c.want)
		}
	}
}

// TestWeights: among equal hosts each is first as often as its weight says, one of no
// weight hardly ever, and all hosts are tried.
func TestWeights(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)).IntN
	const rounds = 10_000
	for _, c := range []struct {
		hosts []string // the last one is of another preference
		want  map[string]float64
	}{
		// RFC 2782: a number from 0 to the sum of 100, at which the running sum stops.
		{[]string{"a.test,10,60", "b.test,10,30", "zero.test,10,0", "c.test,10,10", "late.test,20,9"},
			map[string]float64{"a.test": 60. / 101, "b.test": 30. / 101, "c.test": 10. / 101, "zero.test": 1. / 101}},
		{[]string{"a.test,10", "b.test,10", "late.test,20"}, map[string]float64{"a.test": 1. / 2, "b.test": 1. / 2}},
		{[]string{"a.test,10,3", "b.test,10,1", "late.test,20"}, map[string]float64{"a.test": 3. / 4, "b.test": 1. / 4}},
	} {
		hosts, first := way("r", c.hosts...).Hosts, map[string]int{}
		for range rounds {
			got := route.Order(hosts, random)
			seen := map[string]bool{}
			for _, h := range got {
				seen[h.Name] = true
			}
			if len(got) != len(hosts) || len(seen) != len(hosts) || got[len(got)-1].Name != "late.test" {
				t.Fatalf("%v", got)
			}
			first[got[0].Name]++
		}
		for name, share := range c.want {
			if got := float64(first[name]) / rounds; got < share-0.02 || got > share+0.02 {
				t.Errorf("%v: %s is first in %.3f of all, want %.3f", c.hosts, name, got, share)
			}
		}
	}
	if got := route.Order(way("r", "a.test,0,0", "b.test,0,0").Hosts, random); len(got) != 2 {
		t.Errorf("none with a weight: %v", got)
	}
	if got := route.Order(nil, random); len(got) != 0 {
		t.Errorf("no hosts: %v", got)
	}
}

// TestSecret: it is kept, and shown to nobody.
func TestSecret(t *testing.T) {
	t.Parallel()
	engine := dbtest.New(t, route.Schema())
	s := open(t, engine)
	r := way("r", "h.test")
	r.User, r.Secret = "me", "hunter2"
	r.Proxy, r.ProxySecret = "socks5://us@127.0.0.1:1080", "hunter2 too"
	must(t, s.Set(t.Context(), r))
	r.Secret, r.ProxySecret, r.TLS = "", "", "implicit"
	must(t, s.Set(t.Context(), r)) // the same user keeps it, and the same proxy
	got, ok := open(t, engine).Get("r")
	if !ok || string(got.Secret) != "hunter2" || got.TLS != "implicit" || !got.HasSecret || string(got.ProxySecret) != "hunter2 too" || !got.HasProxySecret {
		t.Errorf("%v %v", got, ok)
	}
	text, err := json.Marshal(s.Routes())
	must(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("routes", "routes", s.Routes(), "secret", got.Secret)
	for _, shown := range []string{string(text), fmt.Sprint(got), fmt.Sprintf("%+v", got), fmt.Sprintf("%#v", got), log.String()} {
		if strings.Contains(shown, "hunter2") {
			t.Errorf("the password is shown: %s", shown)
		}
	}
	r.User = "other"
	if err := s.Set(t.Context(), r); err == nil || !strings.Contains(err.Error(), "go together") {
		t.Errorf("another user with the old password: %v", err)
	}
	for _, proxy := range []string{"socks5://you@127.0.0.1:1080", "socks5://us@192.0.2.1:1080"} {
		r.User, r.Proxy = "me", proxy
		if err := s.Set(t.Context(), r); !errors.Is(err, dnsx.ErrProxyPassword) {
			t.Errorf("%s with the old password: %v", proxy, err)
		}
	}
	r.Proxy = "socks5://127.0.0.1:1080"
	must(t, s.Set(t.Context(), r))
	if got, _ := s.Get("r"); got.HasProxySecret || string(got.Secret) != "hunter2" {
		t.Errorf("a proxy without a login has %+v", got)
	}
}

func TestNoSuchRoute(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, route.Schema()))
	with := func(change func(*route.Route)) route.Route {
		r := way("r", "h.test")
		change(&r)
		return r
	}
	for want, r := range map[string]route.Route{
		"no name for a route":                way("mx", "h.test"),
		"no kind of route":                   with(func(r *route.Route) { r.Kind = "pigeon" }),
		"1 to 10 hosts":                      way("r"),
		"twice":                              way("r", "h.test", "h.test,5"),
		"use starttls":                       with(func(r *route.Route) { r.TLS = "maybe" }),
		"go together":                        with(func(r *route.Route) { r.User = "u" }),
		"show the password":                  with(func(r *route.Route) { r.User, r.Secret, r.TLS = "u", "p", "opportunistic" }),
		"in one line":                        with(func(r *route.Route) { r.User, r.Secret = "u", "p\nq" }),
		"neither a host name nor an address": with(func(r *route.Route) { r.Hosts[0].Name = "H.test" }),
		"only LMTP goes to a socket":         with(func(r *route.Route) { r.Hosts[0] = route.Host{Name: "unix:/run/lmtp"} }),
		"an absolute path":                   with(func(r *route.Route) { r.Kind, r.Hosts[0] = route.LMTP, route.Host{Name: "unix:lmtp"} }),
		"a port is a number":                 with(func(r *route.Route) { r.Hosts[0].Port = 0 }),
	} {
		if err := s.Set(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	hook := func(url string, change ...func(*route.Route)) route.Route {
		r := route.Route{Name: "h", Kind: route.HTTP, URL: url}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	for _, r := range []route.Route{
		hook(""), hook("ftp://h.test/"), hook("http://h.test/"), hook("http://192.0.2.1/"), hook("http://localhost/"), hook("https://u:p@h.test/"),
		hook("https://h.test/#x"), hook("https:h.test"), hook("https://h.test:0/"), hook("https:///x"), hook("https://a b/"),
		hook("https://h.test/", func(r *route.Route) { r.Auth = route.HMAC }), hook("https://h.test/", func(r *route.Route) { r.Secret = "s" }),
		hook("https://h.test/", func(r *route.Route) { r.Auth, r.Secret = "basic", "s" }), hook("https://h.test/", func(r *route.Route) { r.TLS = "none" }),
		hook("http://127.0.0.1:8080/", func(r *route.Route) { r.Proxy = "socks5://127.0.0.1:1080" }), hook("HTTP://[::1]/", func(r *route.Route) { r.Proxy = "http://10.0.0.5:3128" }),
		with(func(r *route.Route) { r.URL = "https://h.test/" }),
	} {
		if err := s.Set(t.Context(), r); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
	for _, r := range []route.Route{
		hook("https://h.test/mail?a=b"), hook("http://127.0.0.1:8080"), hook("http://[::1]/x"), hook("https://192.0.2.1:8443/"),
		hook("https://h.test/", func(r *route.Route) { r.Proxy = "socks5://127.0.0.1:1080" }),
		hook("https://h.test/", func(r *route.Route) { r.Auth, r.Secret = route.HMAC, "s" }), hook("https://h.test/new", func(r *route.Route) { r.Auth = route.HMAC }),
	} {
		must(t, s.Set(t.Context(), r))
	}
	if got, _ := s.Get("h"); got.URL != "https://h.test/new" || got.Auth != route.HMAC || string(got.Secret) != "s" {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "h.test:0", "h.test:x", "h.test,1,2,3", "h.test,-1", "h.test,1,65536", "a b", "unix:lmtp"} {
		if h, err := route.ParseHost(text, 25); err == nil {
			t.Errorf("%q is %v", text, h)
		}
	}
	for text, want := range map[string]route.Host{
		"unix:/run/lmtp,5":   {Name: "unix:/run/lmtp", Preference: 5, Weight: 1},
		"H.test":             {Name: "h.test", Port: 25, Weight: 1},
		"h.test:587,10":      {Name: "h.test", Port: 587, Preference: 10, Weight: 1},
		"192.0.2.1,10,0":     {Name: "192.0.2.1", Port: 25, Preference: 10},
		"[2001:db8::1]:2525": {Name: "2001:db8::1", Port: 2525, Weight: 1},
	} {
		if h, err := route.ParseHost(text, 25); err != nil || h != want {
			t.Errorf("%q is %v, %v", text, h, err)
		}
	}
	for _, r := range []route.Rule{
		{What: route.Everyone, Route: "nowhere"}, {What: route.Everyone, Value: "x", Route: "mx"}, {What: "colour", Route: "mx"},
		{What: route.Sender, Value: "*.x.test", Route: "mx"}, {What: route.Recipient, Value: "a b", Route: "mx"}, {What: route.Account, Value: "!", Route: "mx"},
	} {
		if err := s.SetRule(t.Context(), r); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
	if err := s.RemoveRule(t.Context(), route.Rule{What: route.Everyone}); !errors.Is(err, route.ErrNoRule) {
		t.Errorf("%v", err)
	}
	if err := s.Remove(t.Context(), "r"); !errors.Is(err, route.ErrNoRoute) {
		t.Errorf("%v", err)
	}
	must(t, s.Set(t.Context(), way("r", "h.test")))
	must(t, s.SetRule(t.Context(), route.Rule{What: route.Everyone, Route: "r"}))
	if err := s.Remove(t.Context(), "r"); err == nil || !strings.Contains(err.Error(), "1 of the rules") {
		t.Errorf("a route that a rule needs: %v", err)
	}
	if _, ok := s.Get("r"); !ok {
		t.Error("it is gone")
	}
}
