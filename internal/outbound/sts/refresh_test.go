package sts_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

func (w *world) refresh(asked int32) {
	w.t.Helper()
	if err := w.Refresh(w.t.Context()); err != nil {
		w.t.Error(err)
	}
	w.asked(asked)
}

// TestRefresh renews a policy in use each day, without its record (RFC 8461 §10.2).
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.refresh(0)
	w.announce("x.test", "")
	for i := range 28 {
		w.pass(day)
		w.web.Publish("x.test", policy("enforce", fmt.Sprintf("a%d.test", i), week))
		w.refresh(1)
		w.refresh(0)
	}
	w.restart()
	w.want("x.test", "enforce a27.test 1 sts-policy-fetch-error", 0)
	w.announce("x.test", "2")
	w.pass(day)
	w.refresh(1)
	w.want("x.test", "enforce a27.test 2", 0)
	w.restart()
	w.want("x.test", "enforce a27.test 2", 0)
}

// TestAnnouncedTooEarly: who changes the record before the policy is not left with
// the old one for a day (RFC 8461 §8.1).
func TestAnnouncedTooEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.pass(5 * minute)
	w.announce("x.test", "2")
	w.want("x.test", "enforce a.test 2", 1)
	w.web.Publish("x.test", policy("enforce", "b.test", week))
	w.refresh(0)
	w.pass(time.Hour)
	w.refresh(1)
	w.want("x.test", "enforce b.test 2", 0)
	w.pass(time.Hour)
	w.refresh(0)
}

// TestNotInUse: nothing is renewed where nobody wants to know.
func TestNotInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.off = true
	w.restart()
	w.pass(day)
	w.refresh(0)
	w.pass(14 * day)
	w.refresh(0)
	if n := w.rows(); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestRun renews by itself, day by day.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetched := 0
		s := sts.New(sts.Options{
			DB:  dbtest.NewEmbedded(t, sts.Schema()),
			TXT: func(context.Context, string) ([]string, error) { return []string{"v=STSv1; id=1"}, nil },
			Fetch: func(context.Context, string) (mtasts.Policy, error) {
				fetched++
				return mtasts.Parse(policy("enforce", "a.test", week))
			},
			Logger: slog.New(slog.DiscardHandler),
		})
		if h, err := s.Lookup(t.Context(), "x.test"); err != nil || h.Mode != mtasts.Enforce {
			t.Errorf("%+v, %v", h, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*day+2*time.Hour)
		defer cancel()
		s.Run(ctx)
		if fetched != 1+5 {
			t.Errorf("fetched %d times", fetched)
		}
	})
}

// TestRefreshFails: it is tried again in hours, operators hear of it each time, and
// the policy holds.
func TestRefreshFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.publish("y.test", "1", "none", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.want("y.test", "none a.test 1", 1)
	w.web.Answer("x.test", busy)
	w.web.Answer("y.test", busy)
	w.pass(day)
	for range 12 {
		w.logged()
		w.refresh(2)
		if log := w.logged(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "domain=x.test") {
			t.Errorf("%s", log)
		}
		w.pass(5 * time.Hour)
		w.refresh(0)
		w.pass(time.Hour)
	}
	w.want("x.test", "enforce a.test 1 sts-policy-fetch-error", 0)
	w.web.Publish("x.test", policy("enforce", "b.test", week))
	w.refresh(2)
	w.want("x.test", "enforce b.test 1", 0)
}

// TestShortPolicies are renewed before they end.
func TestShortPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", 6*time.Hour)
	w.want("x.test", "enforce a.test 1", 1)
	w.announce("x.test", "")
	w.pass(2 * time.Hour)
	w.refresh(0)
	for range 10 {
		w.pass(3 * time.Hour)
		w.refresh(1)
	}
	w.want("x.test", "enforce a.test 1", 0)
}

// TestUnused: what nobody asks for is no longer renewed, holds until it ends, and
// goes some days later.
func TestUnused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", 60*day)
	w.publish("y.test", "1", "enforce", "a.test", 60*day)
	w.want("x.test", "enforce a.test 1", 1)
	w.want("y.test", "enforce a.test 1", 1)
	for i := range 40 {
		w.pass(day)
		if i%10 == 0 {
			w.restart()
			w.want("y.test", "enforce a.test 1", 0)
		}
		want := int32(2)
		if i >= 30 {
			want = 1
		}
		w.refresh(want)
	}
	w.announce("x.test", "")
	w.pass(49 * day) // 59 days after x.test was fetched the last time
	w.restart()
	w.want("x.test", "enforce a.test 1 sts-policy-fetch-error", 0)
	w.web.Answer("x.test", busy)
	w.refresh(1) // in use again
	w.pass(8 * day)
	w.refresh(0)
	if n := w.rows(); n != 2 {
		t.Errorf("%d rows", n)
	}
	w.pass(day)
	w.refresh(0)
	if n := w.rows(); n != 1 {
		t.Errorf("%d rows, want that of y.test", n)
	}
}

// TestWrongClock: a policy that was fetched under a clock that was ahead does not
// wait for that date to be renewed.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pass(300 * day)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	w.pass(-300 * day)
	w.restart()
	w.want("x.test", "enforce a.test 1", 0)
	w.web.Publish("x.test", policy("enforce", "b.test", week))
	w.refresh(1)
	w.refresh(0)
	w.want("x.test", "enforce b.test 1", 0)
	w.pass(8 * day)
	w.announce("x.test", "")
	w.want("x.test", "none", 0)
}

// TestTwoProcesses share the table, and one of them renews.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("x.test", "1", "enforce", "a.test", week)
	w.want("x.test", "enforce a.test 1", 1)
	one := w.Store
	w.restart()
	w.want("x.test", "enforce a.test 1", 0)
	w.pass(day)
	errs := make(chan error)
	go func() { errs <- one.Refresh(t.Context()) }()
	if err := w.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-errs; err != nil {
		t.Error(err)
	}
	w.asked(1)
}

// TestManyDue are renewed in slices, a few at a time.
func TestManyDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const many = 250
	for i := range many {
		domain := fmt.Sprintf("d%d.test", i)
		w.announce(domain, "1")
		w.insert(domain)
	}
	w.pass(day)
	w.refresh(0) // no address: all fail
	w.refresh(0)
	if n := strings.Count(w.logged(), "level=WARN"); n != many {
		t.Errorf("%d of %d were tried", n, many)
	}
}
