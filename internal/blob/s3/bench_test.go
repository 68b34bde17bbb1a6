package s3

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
)

// BenchmarkCommit has writers that commit bodies of 5 KB one after the other.
func BenchmarkCommit(b *testing.B) {
	for name, writers := range map[string]int{"1 writer": 1, "50 writers": 50, "200 writers": 200} {
		b.Run(name, func(b *testing.B) {
			var objects atomic.Int64
			opt := options(b, server(b))
			opt.Observer.Put = func(int, int64, time.Duration) { objects.Add(1) }
			s := mustOpen(b, opt)
			p := blobtest.Bytes(5000, 1)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						w := s.Create()
						_, err := w.Write(p)
						if err == nil {
							_, err = w.Commit(b.Context(), blob.Meta{})
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bodies/s")
			b.ReportMetric(float64(b.N)/float64(max(1, objects.Load())), "bodies/object")
		})
	}
}

// BenchmarkRead reads a body of 50 MB in order, through a cache that holds none
// of it.
func BenchmarkRead(b *testing.B) {
	opt := options(b, server(b))
	opt.CacheSize = 4 << 20
	s := mustOpen(b, opt)
	const size = 50 << 20
	body := blobtest.Commit(b, s, blobtest.Bytes(size, 1))
	blobtest.Record(b, fixture(s), body)
	b.SetBytes(size)
	for b.Loop() {
		r, err := s.Open(b.Context(), body.ID)
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 64<<10)
		for off := int64(0); off < size; off += int64(len(buf)) {
			if _, err := r.ReadAt(buf, off); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
