package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// shaped is a farm whose rate and whose rule can be taken back, and which asks for a pause
// once.
type shaped struct {
	farm
	w     *world
	rate  atomic.Int64 // an hour; 0 = none
	ruled atomic.Bool
}

func newShaped(t *testing.T, rate int) *shaped {
	s := &shaped{}
	s.rate.Store(int64(rate))
	s.w = farmWorld(t, &s.farm, Limits{})
	s.w.q.o.Limits = func(string) Limits { return Limits{Rate: int(s.rate.Load()), Per: time.Hour} }
	return s
}

// pauses makes the first attempt ask for a pause of an hour, by a rule of the operator.
func (s *shaped) pauses() {
	s.ruled.Store(true)
	first := true
	s.takes = func(int, *Job) Outcome {
		if first {
			first = false
			return Outcome{Result: TryLater, Code: 450, Reply: "slowly"}
		}
		return Outcome{Result: Delivered, Code: 250}
	}
	s.w.q.o.Advise = func(string, *Outcome) Advice { return Advice{For: time.Hour, Pause: true, Why: "a rule", Rule: 7} }
	s.w.q.o.Stands = func(rule int64) bool { return rule == 7 && s.ruled.Load() }
}

func (s *shaped) want(what string, delivered int) {
	s.w.t.Helper()
	<-time.After(20 * time.Second)
	synctest.Wait()
	if n := s.w.obs.count("delivered"); n != delivered {
		s.w.t.Errorf("%s: %d delivered, want %d; %v, %+v", what, n, delivered, s.w.stats(), s.w.q.Traffic("farm.test"))
	}
}

func (s *shaped) retry(want int) {
	s.w.t.Helper()
	for _, dry := range []bool{true, false} {
		n, err := s.w.q.Retry(s.w.t.Context(), Filter{All: true, DryRun: dry})
		if s.w.must(err); n.All() != want {
			s.w.t.Errorf("retry (dry run %v) touched %d, want %d", dry, n, want)
		}
	}
}

// TestARateThatIsTakenBack: what it held back goes at once, by a change or by retry, also
// after a restart; while it holds, retry changes nothing.
func TestARateThatIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]func(s *shaped){
		"changed": func(s *shaped) { s.w.must(s.w.q.Reshaped(s.w.t.Context())) },
		"retry":   func(s *shaped) { s.retry(2) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 1)
			s.w.run()
			s.w.spread(3, 3)
			s.want(name+": at a rate", 1)
			s.retry(2)
			s.want(name+": retry at a rate", 1)
			if tr := s.w.q.Traffic("farm.test"); tr.Rest.IsZero() || !strings.Contains(tr.Why, "rate of 1 in 1h") {
				t.Errorf("%+v", tr)
			}
			s.rate.Store(0)
			s.w.insert(s.w.message("new@d9.test"))
			s.want(name+": a new message", 2)
			free(s)
			s.want(name+": freed", 4)
		})
	}
}

// TestARateThatChanges is reckoned anew from the message that went last.
func TestARateThatChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShaped(t, 1)
		s.w.run()
		s.w.spread(2, 2)
		s.want("one an hour", 1)
		s.rate.Store(6)
		s.w.must(s.w.q.Reshaped(t.Context()))
		s.want("six an hour, too early", 1)
		time.Sleep(10 * time.Minute)
		s.want("six an hour", 2)
	})
}

// TestRestsAfterARestart: rows keep their time, and retry frees them.
func TestRestsAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShaped(t, 1)
		stop := s.w.run()
		s.w.spread(2, 2)
		s.want("one an hour", 1)
		stop()
		o := s.w.q.o
		s.w.q = New(o)
		s.w.run()
		s.want("restarted", 1)
		s.rate.Store(0)
		s.retry(1)
		s.want("retried", 2)
	})
}

// TestAPauseThatIsTakenBack: it ends with the rule that made it, or by retry.
func TestAPauseThatIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, free := range map[string]func(s *shaped){
		"rule": func(s *shaped) {
			s.w.must(s.w.q.Reshaped(s.w.t.Context()))
			s.want("the rule stands", 0)
			s.ruled.Store(false)
			s.w.must(s.w.q.Reshaped(s.w.t.Context()))
			s.want("the rule is gone", 1)
			s.retry(1) // the one that was tried
		},
		"retry": func(s *shaped) { s.retry(2) },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 0)
			s.pauses()
			s.w.run()
			s.w.spread(1, 1)
			s.want(name+": the first", 0)
			s.w.insert(s.w.message("b@d0.test"))
			s.want(name+": paused", 0)
			free(s)
			s.want(name+": freed", 2)
			if tr := s.w.q.Traffic("farm.test"); !tr.Rest.IsZero() {
				t.Errorf("%+v", tr)
			}
		})
	}
}

// TestOneRetryEndsThePauseForAll: who tries one message by hand ends the pause, and what
// rested until its end goes too, after a restart as well; what rests for another provider,
// or waits for its time, does not.
func TestOneRetryEndsThePauseForAll(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 0)
			s.pauses()
			stop := s.w.run()
			s.w.spread(1, 1)
			s.want("the first", 0)
			one, later := s.w.message("b@d0.test"), s.w.message("z@d1.test")
			later.Release = micros() + 2*time.Hour.Microseconds()
			s.w.insert(one, later)
			s.w.spread(2*slice, 3)
			s.want("paused", 0)
			if restart {
				stop = s.restart(stop)
			}
			_, err := s.w.q.Retry(t.Context(), Filter{IDs: []mail.ID{one.ID}})
			s.w.must(err)
			s.want("the pause is over", 2*slice+1)
			if got := s.w.stats(); got[Queued] != 1 || got[Deferred] != 1 {
				t.Errorf("%v", got)
			}
			s.w.q.mu.Lock()
			if len(s.w.q.freed) > 0 || s.w.q.roused != 0 {
				t.Errorf("%v, %d", s.w.q.freed, s.w.q.roused)
			}
			s.w.q.mu.Unlock()
			stop()
		})
	}
}

// TestASlowRateEndsWithItsBrake: nothing waits longer for a rate than that holds, and that it
// ended is told in time.
func TestASlowRateEndsWithItsBrake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShaped(t, 0)
		s.pauses()
		s.w.q.o.Advise = func(string, *Outcome) Advice {
			return Advice{For: 45 * time.Second, Limits: Limits{Rate: 1, Per: 24 * time.Hour}, Why: "a rule"}
		}
		h := &heard{}
		s.w.q.o.Changed = h.note
		s.w.run()
		s.w.insert(s.w.message("a@d0.test"))
		<-time.After(time.Second)
		s.w.spread(5, 3)
		s.want("while it is slow", 1)
		if rest := time.Until(s.w.q.Traffic("farm.test").Rest); rest <= 0 || rest > 45*time.Second {
			t.Errorf("it rests for %v", rest)
		}
		<-time.After(25 * time.Second)
		if !slices.Contains(h.kinds(), string(Eased)) {
			t.Errorf("told as soon as it is over: %v", h.kinds())
		}
		s.want("it is over", 5)
	})
}

// TestRetryBeforeItsTime: nobody makes a message go before the time that its sender gave
// (RFC 4865), and what is due already is left alone.
func TestRetryBeforeItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	m, due := w.message("a@x.test"), w.message("b@x.test")
	m.Release = micros() + time.Hour.Microseconds()
	w.set.Memory = 0
	w.insert(m, due)
	for _, verb := range []func(context.Context) (Touched, error){
		func(ctx context.Context) (Touched, error) { return w.q.Retry(ctx, Filter{All: true}) },
		func(ctx context.Context) (Touched, error) { return Touched{}, w.q.Reshaped(ctx) },
	} {
		if n, err := verb(t.Context()); err != nil || n.All() != 0 {
			t.Errorf("%d touched, %v", n, err)
		}
	}
	for id, next := range map[mail.ID]int64{m.ID: m.Release, due.ID: due.Received} {
		got, err := w.q.Show(t.Context(), id)
		if w.must(err); got.Recipients[0].Next < next || got.Recipients[0].State != Queued || id == m.ID && got.Recipients[0].Next != next {
			t.Errorf("%+v", got.Recipients[0])
		}
	}
}

// TestSendersOfWhatRestsAreTold: of a delay when that is due, whether it was tried or not;
// what its sender wants back at a time goes back then, and says why it did not go.
func TestSendersOfWhatRestsAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate  int
		pause bool
		why   string
	}{
		"rate":  {1, false, "nothing could go to farm.test meanwhile: its rate of 1 in 1h0m0s is used up"},
		"pause": {0, true, "nothing could go to farm.test meanwhile: a rule"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, c.rate)
			if c.pause {
				s.pauses()
			}
			s.w.set.DelayNotice, s.w.set.Lifetime = 30*time.Minute, 40*time.Minute
			s.w.run()
			s.w.insert(s.w.message("first@d1.test"))
			time.Sleep(time.Second)
			back, old, later := s.w.message("back@d1.test"), s.w.message("old@d1.test"), s.w.message("later@d1.test")
			back.By = mail.DeliverBy{At: micros() + (20 * time.Minute).Microseconds(), Return: true}
			later.Release = micros() + (15 * time.Minute).Microseconds()
			s.w.insert(back, old, later)
			var got []int
			for range 3 {
				time.Sleep(16 * time.Minute)
				late, err := s.w.q.Delayed(t.Context(), 10)
				s.w.must(err)
				n := 0
				for _, m := range late {
					n += len(m.Recipients)
				}
				got = append(got, n)
			}
			m, err := s.w.q.Show(t.Context(), back.ID)
			s.w.must(err)
			if r := m.Recipients[0]; r.State != Failed || !r.Expired || !strings.HasSuffix(r.Reply, c.why) {
				t.Errorf("%s: %+v", name, r)
			}
			want := []int{0, 1, 1} // old, and later half an hour after its time
			if c.pause {
				want = []int{0, 2, 1} // and the first one, which asked for the pause
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: late %v, want %v", name, got, want)
			}
		})
	}
}

// TestARestEndsWithTheLifetime: whatever keeps its provider at rest, and however often that
// begins anew, a recipient is given up when its time is over, and its sender told why.
func TestARestEndsWithTheLifetime(t *testing.T) {
	t.Parallel()
	const days = 24 * time.Hour
	for name, c := range map[string]struct {
		rate int
		rest time.Duration // of a pause
		why  string
	}{
		"long pause":    {0, 30 * days, "Nothing could go to farm.test until 2000-01-31 00:00:"},
		"renewed pause": {0, 2 * time.Hour, "Nothing could go to farm.test until 2000-01-02 02:"},
		"rate":          {1, 0, "Nothing could go to farm.test until 2000-01-02 "},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, c.rate)
			s.w.set.Lifetime = days + 30*time.Minute
			if c.rest > 0 {
				s.takes = func(int, *Job) Outcome { return Outcome{Result: TryLater, Code: 421, Reply: "slowly"} }
				s.w.q.o.Advise = func(string, *Outcome) Advice { return Advice{For: c.rest, Pause: true, Why: "a rule"} }
			}
			s.w.run()
			s.w.spread(200, 1)
			time.Sleep(days)
			synctest.Wait()
			if n := s.w.obs.count("expired"); n != 0 {
				t.Errorf("%s: %d ended too early", name, n)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if s := s.w.stats(); s[Queued]+s[Deferred]+s[Leased] != 0 {
				t.Errorf("%s: left %v", name, s)
			}
			failed, err := s.w.q.Failed(t.Context(), 0, 200)
			s.w.must(err)
			if len(failed) < 170 {
				t.Fatalf("%s: %d failed", name, len(failed))
			}
			if r := failed[len(failed)-1].Recipients[0]; !r.Expired || !strings.Contains(r.Reply, c.why) {
				t.Errorf("%s: %+v", name, r)
			}
		})
	}
}

// TestWhatAStoppedServerKept is tried once more where a rate lets all have their turn.
func TestWhatAStoppedServerKept(t *testing.T) {
	t.Parallel()
	for _, paused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 1)
			if paused {
				s.pauses()
			}
			s.w.run()
			s.w.spread(1, 1)
			time.Sleep(time.Second)
			m := s.w.message("old@d0.test")
			m.Expires = micros() - time.Hour.Microseconds()
			s.w.insert(m)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if went, ended := s.w.obs.count("old@d0.test delivered"), s.w.obs.count("old@d0.test deferred failed expired"); went+ended != 1 || (ended == 1) != paused {
				t.Errorf("paused %v: %v", paused, s.w.obs.seen())
			}
		})
	}
}

// TestTheClockIsSetBack: nobody rests until the time that it was.
func TestTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	q := newWorld(t, nil).q
	q.o.Limits = func(string) Limits { return Limits{Rate: 60, Per: time.Minute} }
	q.mu.Lock()
	defer q.mu.Unlock()
	for name, set := range map[string]func(p *provider){
		"with credit":    func(p *provider) { p.credit = 1 },
		"without credit": func(p *provider) { p.credit = 0.5 },
		"at rest":        func(p *provider) { p.credit, p.spent = 0.5, true },
		"pause":          func(p *provider) { p.pause = demand{Advice: Advice{For: time.Second, Pause: true}, until: p.filled} },
	} {
		p := q.providerOf(name)
		p.filled = micros() + day.Microseconds()
		set(p)
		if went := q.spend(p); went != (name == "with credit") {
			t.Errorf("%s: goes %v, %+v", name, went, p)
		}
		if until, why := q.rest(p); until > micros()+time.Second.Microseconds() {
			t.Errorf("%s: rests until %v: %s", name, mail.FromMicros(until), why)
		}
	}
}

// TestManyProvidersAreForgotten: of very many providers those without work leave the memory
// soon, but for those that were found to bear less.
func TestManyProvidersAreForgotten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ all, left int }{{manyProviders, manyProviders}, {manyProviders + 1, 2}} {
		w := newWorld(t, &gate{})
		w.q.mu.Lock()
		for i := range c.all {
			w.q.providerOf(fmt.Sprint(i)).used -= 2 * longRest.Microseconds()
		}
		w.q.providerOf("1").before = 5
		w.q.providerOf("2").used = micros()
		w.q.mu.Unlock()
		if w.q.resume(micros()); len(w.q.providers) != c.left {
			t.Errorf("%d of %d are left, want %d", len(w.q.providers), c.all, c.left)
		}
	}
}
