package ratelimit

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever tries many at once gets no more guesses than whoever tries in turn,
// and many who are right at once all get in.
func TestAttemptsUnderWayCount(t *testing.T) {
	t.Parallel()
	const limit, peers = 5, 60
	for name, c := range map[string]struct {
		fail          func(i int) bool
		begun, failed int32
	}{
		"all wrong":           {func(int) bool { return true }, limit, limit},
		"all right":           {func(int) bool { return false }, peers, 0},
		"a few wrong ones":    {func(i int) bool { return i < limit-1 }, peers, limit - 1},
		"the limit and right": {func(i int) bool { return i%2 == 0 }, -1, limit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := NewFailures(limit)
				addr := netip.MustParseAddr("192.0.2.1")
				var begun, failed, refused, now, most atomic.Int32
				for i := range peers {
					go func() {
						end, err := f.Begin(t.Context(), addr)
						if err != nil {
							refused.Add(1)
							return
						}
						begun.Add(1)
						most.Store(max(most.Load(), now.Add(1)))
						time.Sleep(time.Second) // of the bubble
						now.Add(-1)
						if c.fail(i) {
							failed.Add(1)
						}
						end(c.fail(i))
					}()
				}
				time.Sleep(2 * peers * time.Second)
				synctest.Wait()
				if c.begun >= 0 && begun.Load() != c.begun || failed.Load() != c.failed || begun.Load()+refused.Load() != peers {
					t.Errorf("%d begun, %d failed, %d refused", begun.Load(), failed.Load(), refused.Load())
				}
				if most.Load() > limit {
					t.Errorf("%d at once", most.Load())
				}
				if len(f.underway) != 0 {
					t.Errorf("%d networks are still remembered as trying", len(f.underway))
				}
			})
		})
	}
}

func TestBeginEndsWithItsContextOrTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := NewFailures(1)
		addr := netip.MustParseAddr("2001:db8::1")
		end, err := f.Begin(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Begin(ctx, netip.MustParseAddr("2001:db8::2")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beside another: %v", err)
		}
		if other, err := f.Begin(ctx, netip.MustParseAddr("2001:db8:1::1")); err != nil {
			t.Errorf("another network: %v", err)
		} else {
			other(false)
		}
		lifted := make(chan error)
		go func() {
			_, err := f.Begin(t.Context(), addr)
			lifted <- err
		}()
		synctest.Wait()
		f.SetLimit(0)
		if err := <-lifted; err != nil {
			t.Errorf("with the limit lifted: %v", err)
		}
		f.SetLimit(1)
		end(true)
		if _, err := f.Begin(t.Context(), addr); !errors.Is(err, ErrBlocked) {
			t.Errorf("after the failure: %v", err)
		}
		if len(f.underway) != 0 {
			t.Errorf("%d networks are still remembered as trying", len(f.underway))
		}
	})
}
