package move_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/move"
)

// BenchmarkRun copies bodies of 5 KB and rows from the embedded engines to those
// of the environment, and tells the speed of each part.
func BenchmarkRun(b *testing.B) {
	const messages, events = 10_000, 50_000
	from := benchSide(b, dbtest.Embedded(b))
	fillBench(b, from, messages, events)
	for b.Loop() {
		took := map[string]time.Duration{}
		last := time.Now()
		o := options(from, benchSide(b, dbtest.Empty(b)))
		o.Progress = func(p move.Progress) {
			now := time.Now()
			took[p.Name] += now.Sub(last)
			last = now
		}
		last = time.Now()
		if _, err := move.Run(b.Context(), o); err != nil {
			b.Fatal(err)
		}
		for name, n := range map[string]int{"bodies": messages, "table event": events, "table queue_message": messages} {
			for _, what := range []string{"copy ", "verify "} {
				b.ReportMetric(float64(n)/took[what+name].Seconds(), strings.ReplaceAll(what+name, " ", "_")+"/s")
			}
		}
	}
}

func benchSide(b *testing.B, d db.DB) move.Side {
	b.Helper()
	if err := d.Migrate(b.Context(), all()...); err != nil {
		b.Fatal(err)
	}
	s, err := pack.Open(b.Context(), pack.Options{Dir: b.TempDir(), DB: d, IDs: mail.NewIDs(2, 0), MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return move.Side{DB: d, Blobs: s}
}

func fillBench(b *testing.B, s move.Side, messages, events int) {
	b.Helper()
	ids := mail.NewIDs(1, 0)
	text := blobtest.Bytes(5000, 1)
	for n := 0; n < messages; n += 500 {
		stored := make([]blob.Body, 500)
		rows := make([][]any, 500)
		done := make(chan error, 500)
		for i := range stored {
			go func() {
				w := s.Blobs.Create()
				_, _ = w.Write(text) // told by Commit
				var err error
				stored[i], err = w.Commit(b.Context(), blob.Meta{})
				done <- err
			}()
		}
		for range stored {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		for i, body := range stored {
			rows[i] = []any{ids.Next(), 1, 0, "", "", body.ID, nil, body.Size, "sender@a.test", 0, 0, 0, "", "", 1, 1}
		}
		err := s.DB.Write(b.Context(), func(tx *db.Tx) error {
			if err := s.Blobs.Record(tx, stored...); err != nil {
				return err
			}
			return tx.Insert(db.Insert{Into: "queue_message", Columns: columns("queue_message")}, rows...)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for n := 0; n < events; n += 500 {
		rows := make([][]any, 500)
		for i := range rows {
			rows[i] = []any{ids.Next(), n, 1, 0, n, "delivered", "transactional", "somebody@example.test", nil, `{"peer":"192.0.2.1","reply":"250 2.0.0 Ok"}`}
		}
		err := s.DB.Write(b.Context(), func(tx *db.Tx) error {
			return tx.Insert(db.Insert{Into: "event", Columns: columns("event")}, rows...)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
