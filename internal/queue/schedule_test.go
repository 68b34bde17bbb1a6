package queue

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// TestScheduleOfASender: his waits, but never shorter ones than the provider asks for;
// his lifetime, as it was when the message was accepted; and everybody else as ever.
func TestScheduleOfASender(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for name, c := range map[string]struct {
		account  mail.ID
		provider []time.Duration
		want     []time.Duration // the last attempt is at the end of the lifetime
		lifetime time.Duration
	}{
		"everybody":                   {1, nil, []time.Duration{5 * minute, 15 * minute, time.Hour, time.Hour}, 3 * time.Hour},
		"the sender":                  {7, nil, []time.Duration{minute, minute, 2 * minute, 2 * minute}, 10 * minute},
		"the sender and the provider": {7, []time.Duration{3 * minute, 30 * time.Second}, []time.Duration{3 * minute, minute, 2 * minute}, 10 * minute},
		"the provider":                {1, []time.Duration{time.Hour}, []time.Duration{time.Hour, time.Hour}, 3 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			var tried []time.Time
			f := &farm{}
			f.takes = func(int, *Job) Outcome {
				tried = append(tried, time.Now())
				return Outcome{Result: TryLater, Code: 450}
			}
			w := newBubble(t, f, func(s *Settings) {
				s.PerSite, s.Lifetime, s.Retry = 20, 3*time.Hour, []time.Duration{5 * minute, 15 * minute, time.Hour}
			})
			var lifetime atomic.Int64
			lifetime.Store(int64(10 * minute))
			w.q = New(Options{DB: w.db, IDs: w.ids, Settings: w.settings, Deliverer: f, Observer: w.obs,
				Provider: f.provider, Limits: func(string) Limits { return Limits{Retry: c.provider} }, Logger: slog.New(slog.DiscardHandler),
				Schedule: func(m *Message) ([]time.Duration, time.Duration) {
					if m.Account != 7 {
						return nil, 0
					}
					return []time.Duration{minute, minute, 2 * minute}, time.Duration(lifetime.Load())
				}})
			w.run()
			m := w.message("a@x.test")
			m.Account = c.account
			began := time.Now()
			w.insert(m)
			lifetime.Store(int64(time.Hour)) // of what is accepted later
			<-w.q.FailedWake()
			f.mu.Lock()
			defer f.mu.Unlock()
			if d := tried[len(tried)-1].Sub(began); d < c.lifetime || d > c.lifetime+minute {
				t.Errorf("%s: the last attempt came after %v, want %v", name, d, c.lifetime)
			}
			if len(tried) < len(c.want)+1 {
				t.Fatalf("%s: tried at %v", name, tried)
			}
			for i, least := range c.want {
				if d := tried[i+1].Sub(tried[i]); i+2 < len(tried) && (d < least || d > least+least/10+time.Second) {
					t.Errorf("%s: attempt %d: after %v, want about %v", name, i+2, d, least)
				}
			}
		})
	}
}

// TestScheduleAndDeliverBy: what is worth nothing later is not tried longer for that.
func TestScheduleAndDeliverBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	w.q.o.Schedule = func(*Message) ([]time.Duration, time.Duration) { return nil, 24 * time.Hour }
	now := micros()
	for _, c := range []struct {
		by   mail.DeliverBy
		want int64
	}{
		{mail.DeliverBy{}, now + 24*time.Hour.Microseconds()},
		{mail.DeliverBy{At: now + 60_000_000, Return: true}, now + 60_000_000},
		{mail.DeliverBy{At: now + 60_000_000}, now + 24*time.Hour.Microseconds()},
	} {
		m := w.message("a@x.test")
		m.Received, m.By = now, c.by
		b := birth{q: w.q, set: w.settings(), now: now, room: func(delivery) bool { return false }}
		b.add(m)
		if !slices.Contains(b.messages[0], any(c.want)) {
			t.Errorf("%+v: %v has no %d", c.by, b.messages[0], c.want)
		}
	}
}
