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
				Schedule: func(m *Message, _ mail.Domain) ([]time.Duration, time.Duration, bool) {
					if m.Account != 7 {
						return nil, 0, false
					}
					return []time.Duration{minute, minute, 2 * minute}, time.Duration(lifetime.Load()), false
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

// TestScheduleOfADestination: the recipients there are tried as long as is said now, those
// of the same message elsewhere as ever, and nobody beyond the time that the sender gave.
func TestScheduleOfADestination(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		by            mail.DeliverBy // from the beginning on
		then          time.Duration  // its lifetime two hours later
		there, beside time.Duration  // the last attempts
	}{
		"kept":    {mail.DeliverBy{}, 6 * time.Hour, 6 * time.Hour, 4 * time.Hour},
		"longer":  {mail.DeliverBy{}, 9 * time.Hour, 9 * time.Hour, 4 * time.Hour},
		"shorter": {mail.DeliverBy{}, 3 * time.Hour, 3 * time.Hour, 4 * time.Hour},
		"over":    {mail.DeliverBy{}, time.Hour, 2 * time.Hour, 4 * time.Hour}, // the next attempt is the last one
		"removed": {mail.DeliverBy{}, 0, 4 * time.Hour, 4 * time.Hour},
		"by time": {mail.DeliverBy{At: (90 * time.Minute).Microseconds(), Return: true}, 6 * time.Hour, time.Hour, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			last := map[string]time.Time{}
			f := &farm{}
			f.takes = func(_ int, job *Job) Outcome {
				last[job.Recipients[0].Address.Domain.ASCII] = time.Now()
				return Outcome{Result: TryLater, Code: 450}
			}
			w := newBubble(t, f, func(s *Settings) { s.Lifetime, s.Retry = 4*time.Hour, []time.Duration{29 * time.Minute} })
			var lifetime atomic.Int64
			lifetime.Store(int64(6 * time.Hour))
			w.q.o.Schedule = func(_ *Message, to mail.Domain) ([]time.Duration, time.Duration, bool) {
				d := time.Duration(lifetime.Load())
				if to.ASCII != "there.test" || d == 0 {
					return nil, 0, false
				}
				return nil, d, true
			}
			w.run()
			began := time.Now()
			m := w.message("a@there.test", "b@beside.test")
			if m.By = c.by; c.by.At != 0 {
				m.By.At += mail.Micros(began)
			}
			w.insert(m)
			time.Sleep(2*time.Hour - time.Minute)
			lifetime.Store(int64(c.then))
			time.Sleep(12 * time.Hour)
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			for domain, want := range map[string]time.Duration{"there.test": c.there, "beside.test": c.beside} {
				if d := last[domain].Sub(began); d < want-time.Minute || d > want+35*time.Minute {
					t.Errorf("%s: the last attempt at %s came after %v, want %v", name, domain, d, want)
				}
			}
		})
	}
}

// TestScheduleOfADestinationThatIsDown: who only hears of the attempts of another message is
// given up no later than that one, however long his own next wait is.
func TestScheduleOfADestinationThatIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, new(gate), func(s *Settings) { s.Lifetime, s.Retry = 5*24*time.Hour, []time.Duration{4 * time.Hour} })
		w.q.o.Schedule = func(_ *Message, to mail.Domain) ([]time.Duration, time.Duration, bool) {
			if to.ASCII == "" {
				return nil, 0, false
			}
			return nil, time.Hour, true
		}
		w.run()
		for range 20 {
			w.insert(w.message("a@x.test"))
			time.Sleep(3 * time.Minute)
		}
		time.Sleep(time.Hour + 2*probeLongest)
		synctest.Wait()
		if s := w.stats(); s[Failed] != 20 {
			t.Errorf("states: %v, want all failed", s)
		}
	})
}

// TestScheduleAndDeliverBy: what is worth nothing later is not tried longer for that.
func TestScheduleAndDeliverBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	there := false
	w.q.o.Schedule = func(*Message, mail.Domain) ([]time.Duration, time.Duration, bool) { return nil, 24 * time.Hour, there }
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
		there = true
		if got := w.q.Expires(m, &m.Recipients[0]); got != c.want {
			t.Errorf("%+v: there until %d, want %d", c.by, got, c.want)
		}
		there = false
	}
}
