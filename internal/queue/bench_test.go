package queue

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
)

// silent is an observer that writes nothing.
type silent struct{}

func (silent) Attempted(*db.Tx, []Report) error            { return nil }
func (silent) Administered(*db.Tx, string, []Report) error { return nil }

// BenchmarkInsertDeliverResult moves messages through the queue in groups as
// intake forms them, with a deliverer that does nothing.
func BenchmarkInsertDeliverResult(b *testing.B) {
	const groupSize, writers = 50, 8
	w := newWorld(b, nil)
	var done sync.WaitGroup
	w.q = New(Options{DB: w.db, IDs: w.ids, Settings: func() Settings { return w.set }, Observer: silent{},
		Logger: slog.New(slog.DiscardHandler), Deliverer: deliver(func(_ context.Context, _ string, job *Job) []Outcome {
			done.Done()
			return all(job, delivered)
		})})
	w.set.PerSite = 20
	w.run()
	tokens := make(chan int, b.N/groupSize+1)
	for left := b.N; left > 0; left -= groupSize {
		tokens <- min(left, groupSize)
	}
	close(tokens)
	b.ResetTimer()
	done.Add(b.N)
	for range writers {
		done.Go(func() {
			for n := range tokens {
				list := make([]*Message, n)
				for i := range list {
					list[i] = w.message("user@example.test")
				}
				w.insert(list...)
			}
		})
	}
	done.Wait()
	w.eventually("an empty queue", w.empty)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
