package sts_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/outbound/sts"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

// TestSlowHost: a policy host that does not answer holds a message for some seconds,
// and those behind it not at all; what it says in the end is for those who come later.
func TestSlowHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		id, fetched := "1", 0
		answer := make(chan string)
		o := sts.Options{
			DB:  dbtest.NewEmbedded(t, sts.Schema()),
			TXT: func(context.Context, string) ([]string, error) { return []string{"v=STSv1; id=" + id}, nil },
			Fetch: func(ctx context.Context, _ string) (mtasts.Policy, error) {
				fetched++
				select {
				case mx := <-answer:
					return mtasts.Parse(policy("enforce", mx, week))
				case <-ctx.Done():
					return mtasts.Policy{}, context.Cause(ctx)
				}
			},
			Logger: slog.New(slog.DiscardHandler),
		}
		s := sts.New(o)
		want := func(mx string, after time.Duration) {
			t.Helper()
			began := time.Now()
			h, err := s.Lookup(t.Context(), "x.test")
			got := ""
			if h.Mode != "" {
				got = h.MX[0]
			}
			if took := time.Since(began); err != nil || got != mx || took != after {
				t.Errorf("%q, %v after %v; want %q after %v", got, err, took, mx, after)
			}
		}
		want("", 20*time.Second)
		want("", 0)
		answer <- "a.test"
		synctest.Wait()
		want("a.test", 0)
		// One that holds is gone by in the meantime.
		id = "2"
		<-time.After(6 * time.Minute)
		want("a.test", 3*time.Second)
		want("a.test", 0)
		answer <- "b.test"
		synctest.Wait()
		want("b.test", 0)
		// After a start too, by what is stored.
		id, s = "3", sts.New(o)
		want("b.test", 3*time.Second)
		answer <- "c.test"
		synctest.Wait()
		want("c.test", 0)
		if fetched != 3 {
			t.Errorf("fetched %d times", fetched)
		}
	})
}
