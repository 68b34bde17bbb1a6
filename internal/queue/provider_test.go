package queue

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// farm is a Deliverer whose sites are of one provider, which counts what it bears; each
// recipient has a transaction of its own.
type farm struct {
	mu    sync.Mutex
	now   int
	most  int
	finds int
	taken []int64 // microseconds
	takes func(at int, job *Job) Outcome
}

func (f *farm) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	for job := next(); job != nil; job = next() {
		var outcomes []Outcome
		for i, r := range job.Recipients {
			if i > 0 {
				may := job.Course.Another(outcomes, job.Recipients[i:])
				if outcomes = nil; len(may) == 0 {
					break
				}
			}
			o := f.take(job)
			o.Recipient = r.ID
			outcomes = append(outcomes, o)
		}
		done(job, outcomes)
	}
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
}

// take is one transaction.
func (f *farm) take(job *Job) Outcome {
	started := micros()
	<-time.After(20 * time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	o := Outcome{Result: Delivered, Code: 250}
	if f.takes != nil {
		o = f.takes(f.now, job)
	}
	o.Host = cmp.Or(o.Host, "mx.farm.test")
	if o.Result == Delivered {
		f.taken = append(f.taken, micros())
	}
	o.Started, o.Ended = started, micros()
	return o
}

// seen is how many workers there were at once, and how many look-ups.
func (f *farm) seen() (most, finds int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most, f.finds
}

func (f *farm) provider(_ context.Context, site string) string {
	f.mu.Lock()
	f.finds++
	f.mu.Unlock()
	<-time.After(time.Millisecond)
	if strings.HasPrefix(site, "lost") {
		return ""
	}
	return "farm.test"
}

// farmWorld is a queue whose sites all belong to one provider with these limits.
func farmWorld(t *testing.T, f *farm, l Limits) *world {
	w := newBubble(t, f, func(s *Settings) { s.PerSite = 20 })
	w.q = New(Options{DB: w.db, IDs: w.ids, Settings: w.settings, Deliverer: f, Observer: w.obs,
		Provider: f.provider, Limits: func(string) Limits { return l }, Logger: slog.New(slog.DiscardHandler)})
	return w
}

// spread puts messages for so many sites into the queue.
func (w *world) spread(n, sites int) {
	var list []*Message
	for i := range n {
		list = append(list, w.message(fmt.Sprintf("u%d@d%d.test", i, i%sites)))
	}
	for len(list) > 0 {
		part := list[:min(100, len(list))]
		list = list[len(part):]
		w.insert(part...)
	}
}

func TestSitesShareTheirProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &farm{}
		w := farmWorld(t, f, Limits{Connections: 3})
		w.run()
		w.spread(300, 40)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := w.obs.count("delivered"); n != 300 {
			t.Errorf("%d of 300 are delivered", n)
		}
		if most, finds := f.seen(); most != 3 || finds != 40 {
			t.Errorf("%d connections at once, want 3; %d look-ups of 40 sites", most, finds)
		}
		w.spread(40, 40)
		time.Sleep(knownFor + time.Minute)
		w.spread(40, 40)
		time.Sleep(time.Minute)
		if _, finds := f.seen(); finds != 80 {
			t.Errorf("%d look-ups after the first were too old, want 80", finds)
		}
		time.Sleep(2 * knownFor)
		w.q.mu.Lock()
		defer w.q.mu.Unlock()
		if len(w.q.providers) != 0 || len(w.q.sites) != 0 || w.q.active != 0 || w.q.octets != 0 {
			t.Errorf("left: %d providers, %d sites, %d workers, %d octets", len(w.q.providers), len(w.q.sites), w.q.active, w.q.octets)
		}
	})
}

// TestRate: a rate counts transactions, of many messages or of one.
func TestRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limits Limits
		window time.Duration
		most   int
		large  bool // of one message to many
	}{
		{Limits{Connections: 10, Rate: 600, Per: time.Minute}, 10 * time.Second, 110, false},
		{Limits{Connections: 10, Rate: 6, Per: time.Minute}, time.Minute, 7, false},
		{Limits{Connections: 1, Rate: 1, Per: time.Hour}, time.Hour, 2, false},
		{Limits{Connections: 10, Rate: 600, Per: time.Minute}, 10 * time.Second, 110, true},
		{Limits{Connections: 10, Rate: 6, Per: time.Minute}, time.Minute, 7, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &farm{}
			w := farmWorld(t, f, c.limits)
			w.run()
			if c.large {
				w.insert(w.message(slices.Repeat([]string{"u@d.test"}, 500)...))
			} else {
				w.spread(500, 7)
			}
			time.Sleep(6 * c.window)
			f.mu.Lock()
			defer f.mu.Unlock()
			for i := range f.taken {
				n := 0
				for _, at := range f.taken[i:] {
					if at-f.taken[i] < c.window.Microseconds() {
						n++
					}
				}
				if n > c.most {
					t.Fatalf("%d messages in %v, want at most %d", n, c.window, c.most)
				}
			}
			if n := len(f.taken); n < min(500, 5*(c.most-1)) {
				t.Errorf("%d messages in 6 x %v", n, c.window)
			}
			if tr := w.q.Traffic("farm.test"); len(f.taken) < 500 && (tr.Rest.IsZero() || !strings.Contains(tr.Why, "rate")) {
				t.Errorf("traffic: %+v", tr)
			}
		})
	}
}

// TestAdaptive: more connections as long as the provider takes them, fewer as soon
// as it says that it is too busy.
func TestAdaptive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bears := 100
		f := &farm{}
		f.takes = func(at int, _ *Job) Outcome {
			if at > bears {
				return Outcome{Result: TryLater, Strained: true, Code: 421, Reply: "too many connections", Again: time.Second}
			}
			return Outcome{Result: Delivered, Code: 250}
		}
		w := farmWorld(t, f, Limits{Connections: 40})
		w.run()
		w.spread(3000, 10)
		time.Sleep(40 * time.Millisecond)
		f.mu.Lock()
		if f.most > widthFirst+2 {
			t.Errorf("%d connections to one that nothing is known of", f.most)
		}
		f.mu.Unlock()
		time.Sleep(time.Second)
		if tr := w.q.Traffic("farm.test"); tr.Width < 20 {
			t.Errorf("after a second: %+v", tr)
		}
		f.mu.Lock()
		bears = 8
		f.mu.Unlock()
		time.Sleep(time.Second)
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			if tr := w.q.Traffic("farm.test"); tr.Width > 12 || tr.Active > 0 && tr.Width < 3 {
				t.Errorf("one that bears 8: %+v", tr)
			}
		}
		time.Sleep(10 * time.Minute)
		if n := w.obs.count("delivered"); n != 3000 {
			t.Errorf("%d are delivered", n)
		}
		if n := w.obs.count("deferred"); n > 200 {
			t.Errorf("%d attempts were too many for it", n)
		}
	})
}

// TestWhatWidens: success does, and what is wrong with a recipient or a message; being put
// off does not, nor what the host refuses for its own sake.
func TestWhatWidens(t *testing.T) {
	t.Parallel()
	q := newWorld(t, nil).q
	q.mu.Lock()
	defer q.mu.Unlock()
	good, busy := Outcome{Result: Delivered, Code: 250}, Outcome{Result: TryLater, Code: 451, Enhanced: "4.3.2"}
	strained := busy
	strained.Strained = true
	for _, c := range []struct {
		outcomes []Outcome
		want     int // 1 = wider, -1 = narrower
	}{
		{[]Outcome{good}, 1},
		{[]Outcome{{Result: Refused, Code: 550, Enhanced: "5.1.1"}}, 1},
		{[]Outcome{{Result: Refused, Code: 552, Enhanced: "5.2.2"}}, 1},
		{[]Outcome{{Result: Refused, Code: 550}}, 1},
		{[]Outcome{busy, good}, 1},
		{[]Outcome{busy, busy}, 0},
		{[]Outcome{{Result: TryLater, Code: 450, Enhanced: "4.7.1"}}, 0},
		{[]Outcome{{Result: TryLater, Ours: true, Code: 451, Enhanced: "4.4.2"}}, 0},
		{[]Outcome{{Result: Refused, Code: 554, Enhanced: "5.7.1"}}, 0},
		{[]Outcome{{Result: Refused, Code: 554, Enhanced: "5.3.2"}}, 0},
		{[]Outcome{{Result: Refused, Code: 451, Enhanced: "4.2.1", Rule: "reply rule 1"}}, 0},
		{[]Outcome{{Result: Refused, Code: 554, Enhanced: "5.6.7", Ours: true}}, 0},
		{[]Outcome{{Result: NotTried}}, 0},
		{[]Outcome{good, strained}, -1},
	} {
		w := &worker{q: q, s: &site{name: "far.test"}, p: &provider{name: "far.test", width: 2, active: 2}}
		w.adapt(c.outcomes)
		if got := cmp.Compare(w.p.width, 2); got != c.want {
			t.Errorf("%+v: width %v, want %d", c.outcomes, w.p.width, c.want)
		}
	}
	strained.Started = micros() + time.Hour.Microseconds()
	w := &worker{q: q, s: &site{name: "far.test"}, p: &provider{name: "far.test", width: 2, active: 2, narrow: micros() + aMonth.Microseconds()}}
	if w.adapt([]Outcome{strained}); w.p.width != 1 {
		t.Errorf("width %v after the clock was set back", w.p.width)
	}
}

// TestRetryOfAProvider: its own waits go before those of everyone.
func TestRetryOfAProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tried []time.Time
		f := &farm{}
		f.takes = func(int, *Job) Outcome {
			tried = append(tried, time.Now())
			return Outcome{Result: TryLater, Code: 450}
		}
		w := farmWorld(t, f, Limits{Retry: []time.Duration{20 * time.Minute, 2 * time.Hour}})
		w.run()
		w.insert(w.message("a@x.test"))
		time.Sleep(3 * time.Hour)
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(tried) != 3 {
			t.Fatalf("tried at %v", tried)
		}
		for i, least := range []time.Duration{20 * time.Minute, 2 * time.Hour} {
			if d := tried[i+1].Sub(tried[i]); d < least || d > least+least/10+time.Second {
				t.Errorf("attempt %d: after %v, want about %v", i+2, d, least)
			}
		}
	})
}

func TestASiteWithoutProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := farmWorld(t, &farm{}, Limits{})
		w.run()
		w.insert(w.message("a@lost.test"))
		time.Sleep(time.Second)
		if n := w.obs.count("delivered"); n != 1 || w.q.Traffic("lost.test").Limits.Connections != 20 {
			t.Errorf("%d delivered, %+v", n, w.q.Traffic("lost.test"))
		}
	})
}

// TestAdvice: a reply lets a whole provider rest, or gives it less for a time.
func TestAdvice(t *testing.T) {
	t.Parallel()
	for name, advice := range map[string]Advice{
		"pause": {For: 30 * time.Minute, Pause: true, Why: "it said so"},
		"less":  {For: 30 * time.Minute, Limits: Limits{Connections: 1, Rate: 60, Per: time.Hour}, Why: "it said so"},
	} {
		synctest.Test(t, func(t *testing.T) {
			said := false
			f := &farm{}
			f.takes = func(int, *Job) Outcome {
				if len(f.taken) >= 50 && !said {
					said = true
					return Outcome{Result: TryLater, Code: 421, Reply: "[TSS04]", Strained: true}
				}
				return Outcome{Result: Delivered, Code: 250}
			}
			w := farmWorld(t, f, Limits{Connections: 5})
			w.q.o.Advise = func(provider string, o *Outcome) Advice {
				if provider != "farm.test" || o.Reply != "[TSS04]" {
					t.Errorf("asked about %s, %q", provider, o.Reply)
				}
				return advice
			}
			w.run()
			w.spread(200, 9)
			time.Sleep(29 * time.Minute)
			tr := w.q.Traffic("farm.test")
			f.mu.Lock()
			n := len(f.taken)
			f.mu.Unlock()
			if advice.Pause {
				if n < 50 || n > 60 || tr.Rest.IsZero() || tr.Why != "it said so" {
					t.Errorf("%s: %d taken while it rests, %+v", name, n, tr)
				}
				if s := w.stats(); s[Leased] != 0 {
					t.Errorf("%d recipients are held in memory meanwhile", s[Leased])
				}
				w.q.mu.Lock()
				if len(w.q.sites) != 0 {
					t.Errorf("%d sites are remembered meanwhile", len(w.q.sites))
				}
				w.q.mu.Unlock()
			} else if n < 50+25 || n > 60+31 || tr.Less.IsZero() || tr.Limits.Connections != 1 {
				t.Errorf("%s: %d taken while it gets less, %+v", name, n, tr)
			}
			time.Sleep(12 * time.Minute)
			if n := w.obs.count("delivered"); n != 200 {
				t.Errorf("%s: %d delivered when it is over", name, n)
			}
		})
	}
}

// TestFewer: a reply that asks for fewer connections is heard like a 421.
func TestFewer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &farm{}
		f.takes = func(at int, _ *Job) Outcome {
			if at > 4 {
				return Outcome{Result: TryLater, Code: 451, Reply: "slow down", Again: time.Second}
			}
			return Outcome{Result: Delivered, Code: 250}
		}
		w := farmWorld(t, f, Limits{Connections: 40})
		w.q.o.Advise = func(_ string, o *Outcome) Advice { return Advice{Fewer: o.Reply == "slow down"} }
		w.run()
		w.spread(2000, 5)
		time.Sleep(3 * time.Second)
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			if tr := w.q.Traffic("farm.test"); tr.Width > 7 {
				t.Errorf("one that bears 4: %+v", tr)
			}
		}
	})
}

// TestAStrangersHost: what a host that is not the provider's says costs the provider nothing
// and earns it nothing, though the domain names one of the provider's before it.
func TestAStrangersHost(t *testing.T) {
	t.Parallel()
	for host, heard := range map[string]bool{"mx.evil.test": false, "notfarm.test": false, "mx.farm.test": true, "farm.test": true} {
		synctest.Test(t, func(t *testing.T) {
			f := &farm{}
			busy := true
			f.takes = func(int, *Job) Outcome {
				if busy {
					return Outcome{Result: TryLater, Code: 421, Reply: "[TSS04]", Host: host, Strained: true}
				}
				return Outcome{Result: Delivered, Code: 250, Host: host}
			}
			w := farmWorld(t, f, Limits{Connections: 20})
			w.q.o.Advise = func(string, *Outcome) Advice { return Advice{For: time.Minute, Pause: true, Fewer: true} }
			w.run()
			w.spread(1, 1)
			time.Sleep(time.Second)
			tr := w.q.Traffic("farm.test")
			if paused := !tr.Rest.IsZero(); paused != heard || (tr.Width < widthFirst) != heard {
				t.Errorf("%s is busy: %+v", host, tr)
			}
			f.mu.Lock()
			busy = false
			f.mu.Unlock()
			before := tr.Width
			time.Sleep(2 * time.Minute)
			w.spread(200, 9)
			time.Sleep(time.Hour)
			if tr = w.q.Traffic("farm.test"); (tr.Width > before) != heard {
				t.Errorf("%s took messages: %+v", host, tr)
			}
		})
	}
}
