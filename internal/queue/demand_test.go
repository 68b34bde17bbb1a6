package queue

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

// restart ends the queue and begins with another one on the same database.
func (s *shaped) restart(stop func()) (again func()) {
	s.w.t.Helper()
	stop()
	s.w.q = New(s.w.q.o)
	return s.w.run()
}

// kept is how many demands the database has.
func (s *shaped) kept() (n int) {
	s.w.t.Helper()
	s.w.must(s.w.db.Read(s.w.t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT COUNT(*) FROM queue_demand"), nil, &n)
	}))
	return n
}

// TestAPauseOutlivesARestart: nothing goes to who asked for a pause, whoever runs, until it
// is over, or its rule is gone, or somebody says retry; then nothing of it is left.
func TestAPauseOutlivesARestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		free      func(s *shaped)
		delivered int // the one that was tried keeps its time unless somebody says retry
	}{
		"over": {func(*shaped) { <-time.After(time.Hour) }, 2},
		"rule": {func(s *shaped) {
			s.ruled.Store(false)
			s.w.must(s.w.q.Reshaped(s.w.t.Context()))
		}, 1},
		"retry": {func(s *shaped) { s.retry(2) }, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 0)
			s.pauses()
			stop := s.w.run()
			s.w.spread(1, 1)
			s.want(name+": the first", 0)
			stop = s.restart(stop)
			s.w.insert(s.w.message("b@d0.test"))
			s.want(name+": paused", 0)
			stop = s.restart(stop)
			if name != "retry" { // of the one who says it, the site's provider is not known yet
				s.want(name+": still paused", 0)
			}
			c.free(s)
			s.want(name+": freed", c.delivered)
			if n := s.kept(); n != 0 {
				t.Errorf("%s: %d demands are left", name, n)
			}
			s.restart(stop)
			s.w.insert(s.w.message("c@d0.test"))
			s.want(name+": after another restart", c.delivered+1)
		})
	}
}

// TestAPauseThatTheRemoteAskedFor holds for its provider, with no rule of anybody's, and
// rules are asked about words of a remote in a finding of ours.
func TestAPauseThatTheRemoteAskedFor(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Outcome{
		"by itself": {Result: TryLater, Ours: true, Quotes: true, Host: "mx.farm.test", Code: 451, Reply: "429: slowly", Pause: time.Hour, Again: time.Hour},
		"by a rule": {Result: TryLater, Ours: true, Quotes: true, Host: "mx.farm.test", Code: 451, Reply: "429: slowly", Again: time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 0)
			s.pauses()
			if name == "by itself" {
				s.w.q.o.Advise = nil
			}
			then, asked := s.takes, 0
			s.takes = func(at int, job *Job) Outcome {
				asked++
				if got := then(at, job); got.Result == Delivered {
					return got
				}
				return o
			}
			stop := s.w.run()
			s.w.spread(1, 1)
			s.want(name+": the first", 0)
			s.w.insert(s.w.message("b@d0.test"), s.w.message("c@d0.test"))
			s.want(name+": paused", 0)
			s.mu.Lock()
			n := asked
			s.mu.Unlock()
			if tr := s.w.q.Traffic("farm.test"); n != 1 || tr.Rest.IsZero() || tr.Why != o.Reply && tr.Why != "a rule" {
				t.Errorf("%s: %d attempts, %+v", name, n, tr)
			}
			<-time.After(time.Hour)
			s.want(name+": over", 3)
			stop()
		})
	}
}

// TestABrakeOutlivesARestart, with what it leaves, and is told to have ended.
func TestABrakeOutlivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShaped(t, 0)
		s.pauses()
		s.w.q.o.Advise = func(string, *Outcome) Advice {
			return Advice{For: time.Hour, Limits: Limits{Connections: 2, Rate: 3, Per: time.Hour}, Why: "a rule"}
		}
		h := &heard{}
		s.w.q.o.Changed = h.note
		stop := s.w.run()
		s.w.spread(1, 1)
		s.want("the first", 0)
		stop = s.restart(stop)
		s.w.insert(s.w.message("b@d0.test"), s.w.message("c@d1.test"), s.w.message("d@d2.test"))
		s.want("at a rate", 1)
		tr := s.w.q.Traffic("farm.test")
		if l := tr.Limits; l.Connections != 2 || l.Rate != 3 || l.Per != time.Hour || tr.Less.IsZero() || tr.Why == "" {
			t.Errorf("%+v", tr)
		}
		time.Sleep(time.Hour)
		s.want("it is over", 4)
		if n := s.kept(); n != 0 {
			t.Errorf("%d demands are left", n)
		}
		if got := h.kinds(); !slices.Contains(got, string(Eased)) {
			t.Errorf("%v", got)
		}
		stop()
	})
}

// TestASlowRateIsNotForgotten: neither while nothing goes, nor with a restart; once the next
// message may go, nothing of it is left.
func TestASlowRateIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 1)
			stop := s.w.run()
			for range 10 {
				s.w.insert(s.w.message("b@d0.test"))
				time.Sleep(12 * time.Minute)
				if restart {
					stop = s.restart(stop)
				}
			}
			s.want("two hours at one an hour", 3)
			if n := s.kept(); n != 1 {
				t.Errorf("restart %v: %d rows of the rate", restart, n)
			}
			time.Sleep(9 * time.Hour)
			s.want("all", 10)
			if n := s.kept(); n != 0 {
				t.Errorf("restart %v: %d rows are left", restart, n)
			}
			s.w.q.mu.Lock()
			if n := len(s.w.q.providers); n != 0 {
				t.Errorf("restart %v: %d providers are left", restart, n)
			}
			s.w.q.mu.Unlock()
			stop()
		})
	}
}

// TestAFastRateIsNotKept: of a rate that a restart can hardly exceed nothing is written.
func TestAFastRateIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShaped(t, 360)
		s.w.run()
		s.w.spread(2, 2)
		s.want("six a minute", 2)
		if n := s.kept(); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestSlowIsNeverFaster: of what holds for a provider anyway, and what a reply asks for, the
// stricter of each counts.
func TestSlowIsNeverFaster(t *testing.T) {
	t.Parallel()
	hour, minute := time.Hour, time.Minute
	for _, c := range []struct{ own, less, want Limits }{
		{Limits{Connections: 5, Rate: 1, Per: hour}, Limits{Rate: 600, Per: minute}, Limits{Connections: 5, Rate: 1, Per: hour}},
		{Limits{Connections: 5, Rate: 600, Per: minute}, Limits{Rate: 1, Per: hour}, Limits{Connections: 5, Rate: 1, Per: hour}},
		{Limits{Connections: 5}, Limits{Connections: 9, Rate: 1, Per: hour}, Limits{Connections: 5, Rate: 1, Per: hour}},
		{Limits{Connections: 5, Rate: 61}, Limits{Connections: 1, Rate: 3600, Per: hour}, Limits{Connections: 1, Rate: 3600, Per: hour}},
		{Limits{Connections: 5, Rate: 59}, Limits{Rate: 3600, Per: hour}, Limits{Connections: 5, Rate: 59}},
	} {
		got := c.own
		if got.slow(&c.less); got.Connections != c.want.Connections || got.Rate != c.want.Rate || got.Per != c.want.Per {
			t.Errorf("%+v and %+v: %+v", c.own, c.less, got)
		}
	}
}

// TestTheStrictestBrakeHolds as long as it was asked for, whatever is asked for after it, also
// after a restart.
func TestTheStrictestBrakeHolds(t *testing.T) {
	t.Parallel()
	const strict, weak = "strictly", "weakly"
	for _, c := range []struct {
		strict, weak  time.Duration
		first, second string // what is told of both, and of the one that is left
	}{
		{24 * time.Hour, 10 * time.Minute, "strictly (until 2000-01-02 00:00:00 UTC); weakly (until 2000-01-01 00:11:00 UTC)", strict},
		{10 * time.Minute, 24 * time.Hour, "strictly (until 2000-01-01 00:10:00 UTC); weakly (until 2000-01-02 00:01:00 UTC)", weak},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newShaped(t, 0)
			said := strict
			s.takes = func(int, *Job) Outcome { return Outcome{Result: TryLater, Code: 450, Reply: said} }
			s.w.q.o.Advise = func(_ string, o *Outcome) Advice {
				if o.Reply == strict {
					return Advice{For: c.strict, Limits: Limits{Connections: 1, Rate: 60, Per: time.Hour}, Why: strict}
				}
				return Advice{For: c.weak, Limits: Limits{Connections: 2}, Why: weak}
			}
			h := &heard{}
			s.w.q.o.Changed = h.note
			stop := s.w.run()
			s.w.insert(s.w.message("a@d0.test"))
			time.Sleep(time.Minute)
			synctest.Wait()
			s.mu.Lock()
			said = weak
			s.mu.Unlock()
			s.w.insert(s.w.message("b@d0.test"))
			holds := func(what string, connections, rate int, why string) {
				t.Helper()
				<-time.After(time.Second)
				synctest.Wait()
				tr := s.w.q.Traffic("farm.test")
				if tr.Limits.Connections != connections || tr.Limits.Rate != rate || tr.Why != why && tr.Rest.IsZero() {
					t.Errorf("%s: %+v", what, tr)
				}
			}
			for _, what := range []string{"both", "both after a restart"} {
				holds(what, 1, 60, c.first)
				stop = s.restart(stop)
			}
			s.mu.Lock()
			s.takes = nil
			s.mu.Unlock()
			time.Sleep(20 * time.Minute)
			if c.second == strict {
				holds("the strict one", 1, 60, strict)
			} else {
				holds("the weak one", 2, 0, weak)
			}
			if n := s.kept(); n != 1 {
				t.Errorf("%d demands are left", n)
			}
			stop = s.restart(stop)
			time.Sleep(24 * time.Hour)
			holds("none", 20, 0, "")
			if n := s.kept(); n != 0 || strings.Count(strings.Join(h.kinds(), " "), string(Eased)) != 1 {
				t.Errorf("%d demands are left, %v", n, h.kinds())
			}
			stop()
		})
	}
}

// TestALongerPauseTakesThePlace of another rule's: nothing of that one is left.
func TestALongerPauseTakesThePlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShaped(t, 0)
		w := &worker{q: s.w.q, p: s.w.q.providerOf("farm.test")}
		s.w.q.mu.Lock()
		var kept []keptDemand
		for rule := range 3 {
			kept = append(kept, w.heed(Advice{For: time.Hour << rule, Pause: true, Why: "a rule", Rule: int64(rule)})...)
		}
		s.w.q.mu.Unlock()
		s.w.must(s.w.db.Write(t.Context(), func(tx *db.Tx) error { return keepDemands(tx, []*item{{demands: kept}}) }))
		if n := s.kept(); n != 3 {
			t.Errorf("%d pauses are written down", n)
		}
		s.w.must(s.w.q.forgetDemands(t.Context()))
		if n := s.kept(); n != 1 {
			t.Errorf("%d pauses are kept", n)
		}
	})
}
