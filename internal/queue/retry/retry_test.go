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
		h := s.For(7, "news", 1)
		if got := fmt.Sprint(retry.FormatWaits(h.Waits), ", ", h.Lifetime); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	holds(s, ", 0s")
	for _, step := range []struct {
		who  retry.Sender
		set  retry.Schedule
		want string
	}{
		{retry.ForTenant(2), retry.Schedule{Waits: waits(t, "9m"), Lifetime: time.Minute}, ", 0s"},
		{retry.ForTenant(1), retry.Schedule{Waits: waits(t, "1m 1h"), Lifetime: 48 * time.Hour}, "1m 1h, 48h0m0s"},
		{retry.Sender{Scope: retry.Stream, Name: "news"}, retry.Schedule{Lifetime: 12 * time.Hour}, "1m 1h, 12h0m0s"},
		{retry.ForAccount(7), retry.Schedule{Waits: waits(t, "5m")}, "5m, 12h0m0s"},
		{retry.ForAccount(7), retry.Schedule{Lifetime: time.Hour}, "1m 1h, 1h0m0s"}, // instead of what was set
	} {
		if err := s.Set(t.Context(), step.who, step.set); err != nil {
			t.Fatal(err)
		}
		holds(s, step.want)
		holds(open(t, engine), step.want)
	}
	if err := s.Remove(t.Context(), retry.Sender{Scope: retry.Stream, Name: "news"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), retry.Sender{Scope: retry.Stream, Name: "news"}); !errors.Is(err, retry.ErrNotSet) {
		t.Errorf("%v", err)
	}
	if err := engine.Write(t.Context(), func(tx *db.Tx) error { return s.Erase(tx, 7) }); err != nil {
		t.Fatal(err)
	}
	holds(open(t, engine), "1m 1h, 48h0m0s")
}

func TestNoSuchSchedule(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, retry.Schema()))
	for want, set := range map[string]retry.Schedule{
		"say what is other": {},
		"from 1s to 365d":   {Lifetime: 366 * 24 * time.Hour},
		"365d":              {Lifetime: -time.Hour},
		"up to 50 waits":    {Waits: []time.Duration{time.Millisecond}},
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
