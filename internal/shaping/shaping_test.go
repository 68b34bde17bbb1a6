package shaping_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/shaping"
)

func defaults() shaping.Set {
	return shaping.Set{
		shaping.Connections: {Key: shaping.Connections, Value: "20", From: "outbound.per_destination"},
		shaping.Messages:    {Key: shaping.Messages, Value: "100", From: "outbound.messages_per_connection"},
	}
}

func open(t *testing.T, engine db.DB) *shaping.Store {
	t.Helper()
	s, err := shaping.Open(t.Context(), shaping.Options{DB: engine, Defaults: defaults})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWhatHolds: the operator's word for a provider, then what was published, then
// the operator's word for everyone, then the settings; and it outlives a restart.
func TestWhatHolds(t *testing.T) {
	t.Parallel()
	engine := dbtest.New(t, shaping.Schema())
	s := open(t, engine)
	want := func(s *shaping.Store, provider string, k shaping.Key, value, from string) {
		t.Helper()
		if l := s.For(provider)[k]; l.Value != value || !strings.Contains(l.From, from) {
			t.Errorf("%s %s: %+v, want %s from %s", provider, k, l, value, from)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want(s, "small.test", shaping.Connections, "20", "outbound.per_destination")
	want(s, "orange.fr", shaping.Connections, "2", "postmaster.orange.fr")
	want(s, "comcast.net", shaping.Connections, "25", "postmaster.comcast.net")
	want(s, "outlook.com", shaping.Connections, "5", "kumomta") // the stricter one of two
	must(s.Set(t.Context(), shaping.Everyone, shaping.Connections, "7"))
	must(s.Set(t.Context(), "Orange.FR", shaping.Connections, "3"))
	must(s.Set(t.Context(), "orange.fr", shaping.Rate, "600/min"))
	for _, s := range []*shaping.Store{s, open(t, engine)} {
		want(s, "small.test", shaping.Connections, "7", "for *")
		want(s, "small.test", shaping.Messages, "100", "outbound.messages_per_connection")
		want(s, "comcast.net", shaping.Connections, "25", "postmaster.comcast.net")
		want(s, "orange.fr", shaping.Connections, "3", "for orange.fr")
		if n, per := s.For("orange.fr").Rate(); n != 600 || per != time.Minute {
			t.Errorf("rate %d in %v", n, per)
		}
	}
	for range 2 {
		must(s.Change(t.Context(), "orange.fr", shaping.Change{Unset: []shaping.Key{shaping.Connections}}))
	}
	want(s, "orange.fr", shaping.Connections, "2", "postmaster.orange.fr")
	if n := s.For("small.test").Number(shaping.Recipients); n != 0 {
		t.Errorf("%d recipients that nobody has set", n)
	}
	if slices.Contains(s.Providers(), "small.test") || !maps.Equal(s.For("small.test"), s.For(shaping.Everyone)) {
		t.Error("one that nothing is set for has limits of its own")
	}
	must(s.Set(t.Context(), "small.test", shaping.Connections, "4"))
	if own := s.Providers(); !slices.Contains(own, "small.test") || !slices.Contains(own, "orange.fr") {
		t.Error("one that has limits of its own is as everyone")
	}
}

// TestTLSRule: what is set for a domain goes before what is set for its provider, and
// that before what is set for everyone.
func TestTLSRule(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, shaping.Schema()))
	for _, step := range []struct{ name, set, want string }{
		{"", "", " false "},
		{"*", "required", "required false for *"},
		{"big.test", "opportunistic despite-policy", "opportunistic true for big.test"},
		{"firm.test", "verified", "verified false for firm.test"},
	} {
		if step.name != "" {
			if err := s.Set(t.Context(), step.name, shaping.TLS, step.set); err != nil {
				t.Fatal(err)
			}
		}
		rule, despite, from := s.TLSRule("firm.test", "big.test")
		if got := fmt.Sprint(rule, " ", despite, " ", from[max(strings.Index(from, "for "), 0):]); got != step.want {
			t.Errorf("with %s for %s: %q, want %q", step.set, step.name, got, step.want)
		}
	}
}

func TestNoSuchLimit(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, shaping.Schema()))
	for _, c := range []struct{ provider, key, value, want string }{
		{"a b", "connections", "1", "no provider"},
		{"x.test", "colour", "1", "no limit"},
		{"x.test", "connections", "0", "from 1 to"},
		{"x.test", "connections", "many", "from 1 to"},
		{"x.test", "connections", "1000001", "from 1 to"},
		{"x.test", "recipients", "101", "from 1 to 100; no server has to take more in one transaction"},
		{"x.test", "retry", "", "at least one"},
		{"x.test", "tls", "", "write none, opportunistic"},
		{"x.test", "tls", "none sometimes", "write none, opportunistic"},
		{"x.test", "tls", "verified despite-policy", "only none and opportunistic"},
		{"x.test", "retry", "5m soon", "up to 50 waits"},
		{"x.test", "retry", "0s", "up to 50 waits"},
		{"x.test", "retry", strings.Repeat("1h ", 51), "up to 50 waits"},
		{"x.test", "rate", "5", "5/s"},
		{"x.test", "rate", "5/week", "5/s"},
		{"x.test", "rate", "0/s", "5/s"},
		{"x.test", "rate", "-1/s", "5/s"},
	} {
		if err := s.Set(t.Context(), c.provider, shaping.Key(c.key), c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s=%s: %v, want %q", c.provider, c.key, c.value, err, c.want)
		}
	}
	if err := s.Change(t.Context(), "x.test", shaping.Change{Unset: []shaping.Key{"colour"}}); err == nil || !strings.Contains(err.Error(), "no limit") {
		t.Errorf("unset of what is no limit: %v", err)
	}
	if rows, err := s.Rows(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("%v, %v", rows, err)
	}
}

// TestChangeIsWhole: of a change one part of which is wrong nothing is done.
func TestChangeIsWhole(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, shaping.Schema()))
	if err := s.Set(t.Context(), "x.test", shaping.Rate, "5/s"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []shaping.Change{
		{Set: map[shaping.Key]string{shaping.Connections: "3", shaping.Recipients: "none"}, Unset: []shaping.Key{shaping.Rate}},
		{Set: map[shaping.Key]string{shaping.Connections: "3"}, Unset: []shaping.Key{shaping.Rate, "colour"}},
	} {
		if err := s.Change(t.Context(), "x.test", c); err == nil {
			t.Errorf("%+v is made", c)
		}
		if rows, err := s.Rows(t.Context()); err != nil || len(rows) != 1 || rows[0].Key != shaping.Rate {
			t.Errorf("after %+v: %v, %v", c, rows, err)
		}
	}
	before := s.Version()
	err := s.Change(t.Context(), "x.test", shaping.Change{
		Set: map[shaping.Key]string{shaping.Connections: "3", shaping.Recipients: "9"}, Unset: []shaping.Key{shaping.Rate, shaping.Retry}})
	rows, rerr := s.Rows(t.Context())
	if err != nil || rerr != nil || len(rows) != 2 || rows[0].Key != shaping.Connections || rows[1].Key != shaping.Recipients {
		t.Errorf("%v, %v %v", rows, err, rerr)
	}
	if n := s.Version() - before; n != 1 {
		t.Errorf("%d versions of what holds, want 1", n)
	}
}

func TestAdvise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dbtest.NewEmbedded(t, shaping.Schema()))
		const yahoo = "4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"
		if a := s.Advise("yahoodns.net", 421, "4.7.0", yahoo); !a.Pause || a.For != 2*time.Hour || !strings.Contains(a.Why, "kumomta") {
			t.Errorf("%+v", a)
		}
		for _, c := range []struct {
			provider string
			code     int
			text     string
		}{{"other.test", 421, yahoo}, {"yahoodns.net", 451, yahoo}, {"yahoodns.net", 421, "4.3.2 later"}} {
			if a := s.Advise(c.provider, c.code, "4.7.0", c.text); a != (shaping.Advice{}) {
				t.Errorf("%+v: %+v", c, a)
			}
		}
		// Some count only if they come again within an hour.
		const google = "4.7.28 Gmail has detected an unusual rate of mail"
		first := s.Advise("google.com", 421, "4.7.28", google)
		time.Sleep(61 * time.Minute)
		second := s.Advise("google.com", 421, "4.7.28", google)
		third := s.Advise("google.com", 421, "4.7.28", google)
		if first.For != 0 || second.For != 0 || third.For != 30*time.Minute || third.Pause || third.Rate != 10 || third.Per != time.Minute {
			t.Errorf("%+v\n%+v\n%+v", first, second, third)
		}
	})
}

// TestEachRowHasAPublicSource: what nobody has published is in no table.
func TestEachRowHasAPublicSource(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, shaping.Schema()))
	if n := len(s.Providers()); n < 20 {
		t.Errorf("%d providers", n)
	}
	for _, name := range s.Providers() {
		if s.Title(name) == "" {
			t.Errorf("%s has no title", name)
		}
		for k, l := range s.For(name) {
			if l.Key != k || !strings.Contains(l.From, "outbound.") && !strings.Contains(l.From, "://") && !strings.Contains(l.From, "KumoCorp/kumomta assets/") {
				t.Errorf("%s %s comes from %q", name, k, l.From)
			}
		}
	}
}
