package retry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/queue/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, engine db.DB) *retry.Store {
	t.Helper()
	s, err := retry.Open(t.Context(), engine)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func waits(t *testing.T, s string) []time.Duration {
	t.Helper()
	out, err := retry.ParseWaits(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFor: an account goes before its stream, and that before its tenant, of waits and
// lifetime each; it outlives a restart, and ends with the account.
func TestFor(t *testing.T) {
	t.Parallel()
	engine := dbtest.New(t, retry.Schema())
	s := open(t, engine)
	holds := func(s *retry.Store, want string) {
		t.Helper()
		h := s.For(retry.Mail{Account: 7, Stream: "news", Tenant: 1, To: "mail.x.test"})
		if got := fmt.Sprint(retry.FormatWaits(h.Waits), ", ", h.Lifetime); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	holds(s, ", 0s")
	for _, step := range []struct {
		who  retry.Which
		set  retry.Schedule
		want string
	}{
		{retry.ForTenant(2), retry.Schedule{Waits: waits(t, "9m"), Lifetime: time.Minute}, ", 0s"},
		{retry.ForTenant(1), retry.Schedule{Waits: waits(t, "1m 1h"), Lifetime: 48 * time.Hour}, "1m 1h, 48h0m0s"},
		{retry.Which{Scope: retry.Stream, Name: "news"}, retry.Schedule{Lifetime: 12 * time.Hour}, "1m 1h, 12h0m0s"},
		{retry.ForAccount(7), retry.Schedule{Waits: waits(t, "5m")}, "5m, 12h0m0s"},
		{retry.ForAccount(7), retry.Schedule{Lifetime: time.Hour}, "1m 1h, 1h0m0s"}, // instead of what was set
	} {
		if err := s.Set(t.Context(), step.who, step.set); err != nil {
			t.Fatal(err)
		}
		holds(s, step.want)
		holds(open(t, engine), step.want)
	}
	if err := s.Remove(t.Context(), retry.Which{Scope: retry.Stream, Name: "news"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), retry.Which{Scope: retry.Stream, Name: "news"}); !errors.Is(err, retry.ErrNotSet) {
		t.Errorf("%v", err)
	}
	if err := engine.Write(t.Context(), func(tx *db.Tx) error { return s.Erase(tx, 7) }); err != nil {
		t.Fatal(err)
	}
	holds(open(t, engine), "1m 1h, 48h0m0s")
}

// TestForDomain: each step is for mail that the step before held for as well, and goes
// first; the account goes before all of them.
func TestForDomain(t *testing.T) {
	t.Parallel()
	engine := dbtest.New(t, retry.Schema())
	s := open(t, engine)
	domain := func(name string) retry.Which {
		t.Helper()
		w, err := retry.ForDomain(name)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	mail := retry.Mail{Account: 7, Stream: "news", Tenant: 1, To: "mail.branch.xn--bcher-kva.test"}
	set := func(w retry.Which, lifetime time.Duration) {
		t.Helper()
		if err := s.Set(t.Context(), w, retry.Schedule{Lifetime: lifetime}); err != nil {
			t.Fatal(err)
		}
	}
	set(domain("*.mail.branch.bücher.test"), time.Second) // all below it, not itself
	set(domain("branch.bücher.test"), time.Second)
	for i, which := range []retry.Which{
		retry.ForTenant(1), {Scope: retry.Stream, Name: "news"}, domain("*.test"), domain("*.BÜCHER.test"), domain("mail.branch.bücher.test"), retry.ForAccount(7),
	} {
		lifetime := time.Duration(i+1) * time.Hour
		set(which, lifetime)
		for _, s := range []*retry.Store{s, open(t, engine)} {
			if got := s.For(mail); got.Lifetime != lifetime || got.LifetimeOf != which || got.WaitsOf != (retry.Which{}) {
				t.Errorf("%+v: %+v", which, got)
			}
		}
	}
	to := mail.To
	if mail.To = ""; s.For(mail).LifetimeOf != retry.ForAccount(7) {
		t.Errorf("without a recipient: %+v", s.For(mail))
	}
	mail.Account, mail.To = 0, to
	if got := s.For(mail); got.LifetimeOf != domain("mail.branch.bücher.test") {
		t.Errorf("nobody's: %+v", got)
	}
	for _, name := range []string{"", "*", "*.", "a b", "*.*.test"} {
		if w, err := retry.ForDomain(name); err == nil {
			t.Errorf("%q is %v", name, w)
		}
	}
}

func TestNoSuchSchedule(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, retry.Schema()))
	for want, set := range map[string]retry.Schedule{
		"say what is to be other": {},
		"from 1s to 365d":         {Lifetime: 366 * 24 * time.Hour},
		"365d":                    {Lifetime: -time.Hour},
		"up to 50 waits":          {Waits: []time.Duration{time.Millisecond}},
	} {
		if err := s.Set(t.Context(), retry.ForAccount(7), set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", set, err, want)
		}
	}
	for _, text := range []string{"", "soon", "0s", "31d", strings.Repeat("1h ", 51)} {
		if _, err := retry.ParseWaits(text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	if rows, err := s.Rows(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("%v, %v", rows, err)
	}
}
