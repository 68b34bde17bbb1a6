package account_test

import (
	"errors"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
)

// TestWhatAPostmasterStandsFor: one way to write him is as good as another.
func TestWhatAPostmasterStandsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bare := mail.Address{Local: "postmaster"}
	if got, err := w.StandsFor(t.Context(), bare); err != nil || got != bare {
		t.Errorf("without a domain: %v, %v", got, err)
	}
	w.must(w.AddDomain(t.Context(), domain(t, "e.test")))
	w.mu.Lock()
	w.hostname = "mx1.host.test"
	w.mu.Unlock()
	for in, want := range map[string]string{
		"POSTMASTER@[192.0.2.1]": "postmaster@e.test", "postmaster@MX1.host.test": "postmaster@e.test",
		"postmaster@e.test": "postmaster@e.test", "postmaster@elsewhere.test": "postmaster@elsewhere.test",
		"abuse@[192.0.2.1]": "abuse@[192.0.2.1]", "taro@mx1.host.test": "taro@mx1.host.test",
	} {
		if got, err := w.StandsFor(t.Context(), addr(t, in)); err != nil || got != addr(t, want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	if got, err := w.StandsFor(t.Context(), mail.Address{Local: "Postmaster"}); err != nil || got.Key() != "postmaster@e.test" {
		t.Errorf("without its domain: %v, %v", got, err)
	}
}

// RFC 5321 §4.5.1: the postmaster of this host is reached by any of its names.
func TestPostmasterOfThisHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := func(name string) {
		w.mu.Lock()
		w.hostname = name
		w.mu.Unlock()
	}
	want := func(when, leads string, from ...string) {
		t.Helper()
		for _, from := range from {
			if got := w.resolve(from); got != leads {
				t.Errorf("%s: %s leads to %q, want %q", when, from, got, leads)
			}
		}
	}
	names := []string{"postmaster", "Postmaster@MX1.host.test", "POSTMASTER@[192.0.2.1]", "postmaster@[IPv6:2001:db8::1]"}
	host("mx1.Host.test")
	want("without a domain", "nobody yet", names...)
	w.must(w.AddDomain(t.Context(), domain(t, "e.test")))
	want("without an account", "nobody yet", append(names, "postmaster@e.test")...)
	w.account("taro@e.test")
	want("with an account", "taro@e.test", names...)
	want("only the postmaster", "elsewhere", "taro@mx1.host.test", "taro@[192.0.2.1]", "postmaster@host.test", "abuse@[192.0.2.1]")
	w.account("hanako@e.test")
	w.alias("postmaster@e.test", "hanako@e.test")
	want("with an alias", "hanako@e.test", names...)
	host("mx2.host.test")
	want("after a reload", "elsewhere", "postmaster@mx1.host.test")
	want("after a reload", "hanako@e.test", "postmaster@mx2.host.test")
	w.must(w.AddDomain(t.Context(), domain(t, "mx2.host.test")))
	want("a domain of ours by that name", "taro@e.test", "postmaster@mx2.host.test")
	host("")
	want("without a name", "elsewhere", "postmaster@mx1.host.test")
}

// Without a name of our own, and with the mail going elsewhere.
func TestPostmasterWithoutDomains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := account.New(account.Options{DB: w.db, Postmaster: func() mail.Address { return addr(t, "boss@away.test") }})
	got, err := d.Resolve(t.Context(), mail.Address{Local: "postmaster"})
	if err != nil || len(got.Forwards) != 1 || got.Forwards[0] != addr(t, "boss@away.test") {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := d.Resolve(t.Context(), addr(t, "postmaster@mx1.host.test")); err != nil || got.Kind != account.Elsewhere {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNobodyMaySendAsThePostmasterOfNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro := w.account("taro@e.test")
	w.must(w.RemoveAccount(t.Context(), taro.Address))
	if may, err := w.MaySendAs(t.Context(), taro, addr(t, "postmaster@e.test")); may || err != nil {
		t.Errorf("%v, %v", may, err)
	}
	if _, err := w.Resolve(t.Context(), addr(t, "postmaster@e.test")); !errors.Is(err, account.ErrNobody) {
		t.Errorf("resolve: %v", err)
	}
}
