package pack

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
)

// BenchmarkCommit is the way of a body through Create, Write and Commit, without
// its row.
func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct{ writers, size int }{{1, 5 << 10}, {50, 5 << 10}, {200, 5 << 10}, {50, 50 << 10}} {
		b.Run(fmt.Sprintf("%d_writers_%dKB", c.writers, c.size>>10), func(b *testing.B) {
			opt := small(filepath.Join(b.TempDir(), "blobs"), newDB(b))
			opt.Prealloc, opt.PackSize = 0, 0
			var syncs atomic.Int64
			opt.Observer.Synced = func(int, int64, time.Duration) { syncs.Add(1) }
			s := mustOpen(b, opt)
			p := blobtest.Bytes(c.size, 1)
			var left atomic.Int64
			left.Store(int64(b.N))
			before := cpu(b)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range c.writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if err := commitOne(b.Context(), s, p); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
			b.ReportMetric((cpu(b)-before)*1e6/float64(b.N), "cpu-us/msg")
			b.ReportMetric(float64(b.N)/float64(max(syncs.Load(), 1)), "msgs/sync")
		})
	}
}

func commitOne(ctx context.Context, s *Store, p []byte) error {
	w := s.Create()
	defer w.Abort()
	if _, err := w.Write(p); err != nil {
		return err
	}
	b, err := w.Commit(ctx, blob.Meta{Message: 1})
	s.pending.done(b.ID) // what Record does once its transaction is durable
	return err
}

// cpu returns the seconds that this process has worked.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func BenchmarkOpen5KB(b *testing.B) {
	opt := small(filepath.Join(b.TempDir(), "blobs"), newDB(b))
	s := mustOpen(b, opt)
	f := blobtest.Fixture{Store: s, DB: opt.DB}
	body := blobtest.Commit(b, s, blobtest.Bytes(5<<10, 1))
	blobtest.Record(b, f, body)
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Open(b.Context(), body.ID)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
