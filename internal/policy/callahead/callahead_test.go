package callahead_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/callahead"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Book over a real database, and a host that says what the test wants.
type world struct {
	*callahead.Book
	t  *testing.T
	db db.DB

	mu       sync.Mutex
	says     map[string]callahead.Verdict // by local part; of others def
	def      callahead.Verdict
	hears    func(local string) callahead.Verdict // nil = by says and def
	takes    time.Duration                        // until it answers
	patience time.Duration                        // for one question
	asked    []string                             // local parts, without those that are made up
	probes   int
	now      int // questions under way
	most     int

	metrics *prometheus.Registry
}

func newWorld(t *testing.T, d db.DB) *world {
	t.Helper()
	w := &world{t: t, db: d, says: map[string]callahead.Verdict{}, def: callahead.Refused, patience: 10 * time.Second}
	w.restart()
	t.Cleanup(func() { w.Close() })
	return w
}

// restart is a process that knows only what is stored.
func (w *world) restart() {
	if w.Book != nil {
		w.Close()
	}
	w.metrics = prometheus.NewRegistry()
	w.Book = callahead.New(callahead.Options{
		Metrics: callahead.NewMetrics(w.metrics),
		DB:      w.db, Ask: w.ask, Timeout: func() time.Duration { return w.patience }, Logger: slog.New(slog.DiscardHandler),
	})
}

func (w *world) ask(ctx context.Context, a mail.Address) callahead.Answer {
	w.mu.Lock()
	v, known := w.says[a.Local]
	if !known {
		v = w.def
	}
	if w.hears != nil {
		v = w.hears(a.Local)
	}
	if strings.HasPrefix(a.Local, "hayauma-") {
		w.probes++
	} else {
		w.asked = append(w.asked, a.Local)
	}
	w.now++
	w.most = max(w.most, w.now)
	takes := w.takes
	w.mu.Unlock()
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		v = callahead.Silent
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now--
	return callahead.Answer{Verdict: v, Reply: "so it says"}
}

func (w *world) answers(local string, v callahead.Verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.says[local] = v
}

func (w *world) otherwise(v callahead.Verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.def = v
	clear(w.says)
}

func (w *world) questions() (asked string, probes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked, probes = strings.Join(w.asked, " "), w.probes
	w.asked, w.probes = nil, 0
	return asked, probes
}

func address(local string) mail.Address {
	return mail.Address{Local: local, Domain: mail.Domain{ASCII: "x.test"}}
}

func (w *world) check(local string) string {
	if f := w.Check(context.Background(), address(local)); f != nil {
		return fmt.Sprintf("%d %s", f.Code(), f.Enhanced())
	}
	return "ok"
}

// want checks a recipient, and which questions that led to once all is still; "a?" =
// none, if the look for a host that takes everybody found first that it is silent.
func (w *world) want(when, local, reply, asked string) {
	w.t.Helper()
	got := w.check(local)
	synctest.Wait()
	is, _ := w.questions()
	if may, ok := strings.CutSuffix(asked, "?"); ok && is == "" {
		asked = is
	} else {
		asked = may
	}
	if got != reply || is != asked {
		w.t.Errorf("%s: %s for %s, asked for %q; want %s, %q", when, got, local, is, reply, asked)
	}
}

const (
	unknown = "550 5.1.1"
	later   = "450 4.1.1"
)

func TestHowLongAnswersHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.answers("a", callahead.Taken)
		w.want("first", "a", "ok", "a")
		w.want("at once", "A", "ok", "")
		w.want("nobody", "n", unknown, "n")
		<-time.After(59 * time.Minute)
		w.want("nobody, within the hour", "n", unknown, "")
		w.restart()
		w.want("after a restart", "a", "ok", "")
		w.want("nobody, after a restart", "n", unknown, "")
		<-time.After(2 * time.Minute)
		w.answers("n", callahead.Taken)
		w.want("somebody by now", "n", "ok", "n")
		<-time.After(25 * time.Hour)
		w.want("a day later, behind the back", "a", "ok", "a")
		w.want("that one is fresh", "a", "ok", "")
		<-time.After(8 * 24 * time.Hour)
		w.otherwise(callahead.Silent)
		w.want("a week later the host is down", "a", "ok", "a?")
		<-time.After(time.Minute)
		w.otherwise(callahead.Later)
		w.want("or takes nothing now", "a", "ok", "a")
		w.want("others wait", "new", later, "new")
		w.otherwise(callahead.Refused)
		w.want("then it says no", "a", unknown, "a")
		w.answers("b", callahead.Taken)
		w.want("another", "b", "ok", "b")
		<-time.After(32 * 24 * time.Hour)
		w.otherwise(callahead.Silent)
		w.want("known too long ago", "b", later, "b?")
	})
}

// TestAClockThatWasAhead: what was answered under a clock that was wrong counts for nothing.
func TestAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	ahead := db.SQL("UPDATE relay_answer SET asked = asked + ?")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.answers("a", callahead.Taken)
		w.want("somebody", "a", "ok", "a")
		w.want("nobody", "n", unknown, "n")
		if err := w.db.Write(t.Context(), func(tx *db.Tx) error {
			_, err := tx.Exec(ahead, (365 * 24 * time.Hour).Microseconds())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for _, local := range []string{"a", "n"} {
			if known, err := w.Known(t.Context(), address(local)); err != nil || known != "" {
				t.Errorf("%s: known %q, %v", local, known, err)
			}
		}
		w.answers("n", callahead.Taken)
		w.want("somebody by now", "n", "ok", "n")
		w.want("it is remembered", "n", "ok", "")
		if err := w.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.answers("closed", callahead.Barred)
		w.want("who was dropped is not compared with", "closed", "550 5.7.1", "closed n")
		w.want("and asked for anew", "a", "ok", "a")
	})
}

func TestAnAnswerThatTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.answers("a", callahead.Taken)
		w.want("first", "a", "ok", "a")
		w.otherwise(callahead.Refused)
		<-time.After(25 * time.Hour)
		w.want("he left: the last one to be let pass", "a", "ok", "a")
		w.want("now it is known", "a", unknown, "")
	})
}

func TestAHostThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.otherwise(callahead.Silent)
		w.want("down", "a", later, "a?")
		w.want("it is left alone", "b", later, "")
		<-time.After(31 * time.Second)
		w.otherwise(callahead.Taken)
		w.want("up again", "b", "ok", "b")
		// One that never answers costs its users the timeout, and no more.
		<-time.After(time.Hour)
		w.otherwise(callahead.Taken)
		w.takes = time.Hour
		if err := w.Forget(t.Context(), address("").Domain); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if got := w.check("c"); got != later || time.Since(start) > 11*time.Second {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		synctest.Wait()
	})
}

// TestARecipientThatIsClosed: a refusal that may mean us is compared with what the host says
// of one whom it took before, and puts off nobody else.
func TestARecipientThatIsClosed(t *testing.T) {
	t.Parallel()
	const shut = "550 5.7.1"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.answers("closed", callahead.Barred)
		w.answers("a", callahead.Taken)
		w.answers("b", callahead.Taken)
		w.want("nobody is known to compare with", "closed", later, "closed")
		w.want("others are asked for", "a", "ok", "a")
		w.want("now it can be told", "closed", shut, "closed a")
		w.want("it is remembered", "closed", shut, "")
		<-time.After(time.Second)
		w.want("others are still asked for", "b", "ok", "b")
		w.want("and those who are not there", "n", unknown, "n")
		<-time.After(61 * time.Minute)
		w.answers("b", callahead.Refused)
		w.want("who was taken last has left, so it is another", "closed", shut, "closed b a")
		<-time.After(61 * time.Minute)
		w.otherwise(callahead.Barred)
		w.want("it refuses us", "closed", later, "closed a")
		w.want("and is left alone", "c", later, "")
		w.want("who is known is taken", "a", "ok", "")
		<-time.After(31 * time.Second)
		w.otherwise(callahead.Silent)
		w.answers("closed", callahead.Barred)
		w.want("it is gone in between", "closed", later, "closed a")
		w.want("and is left alone again", "c", later, "")
		<-time.After(31 * time.Second)
		w.otherwise(callahead.Later)
		w.answers("closed", callahead.Barred)
		w.want("it greylists", "closed", later, "closed a")
		w.want("which is no reason to leave it alone", "c", later, "c")
	})
}

// TestAHostWithoutEnhancedCodes: whether "550" means the recipient or us is told by what the
// host says of those whom it took before; it is no word on a mailbox where it refuses them too.
func TestAHostWithoutEnhancedCodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.otherwise(callahead.Vague)
		w.want("nobody is known to compare with", "n", later, "n")
		for _, local := range []string{"old", "a", "b", "c"} { // from the one who was asked for first
			w.answers(local, callahead.Taken)
			w.want("somebody", local, "ok", local)
			<-time.After(time.Second)
		}
		w.want("an unknown user", "n", unknown, "n c")
		w.want("it is remembered", "n", unknown, "")
		w.answers("c", callahead.Vague)
		w.answers("b", callahead.Refused)
		w.want("two have left", "m", unknown, "m c b a")
		w.want("which is known now", "c", unknown, "")
		w.want("of both", "b", unknown, "")
		<-time.After(2 * time.Second)
		w.want("and are asked for no more", "o", unknown, "o a")
		<-time.After(11 * time.Minute)
		w.check("a")
		synctest.Wait()
		if _, probes := w.questions(); probes != 0 {
			t.Error("a refusal of one who is made up tells enough, and he is asked for again")
		}
		w.otherwise(callahead.Vague)
		<-time.After(time.Hour)
		w.want("it refuses us", "n", later, "n a old")
		w.want("and is left alone", "o", later, "")
		w.want("who is known is taken", "a", "ok", "")
		<-time.After(31 * time.Second)
		w.otherwise(callahead.Refused)
		w.answers("a", callahead.Taken)
		w.answers("n", callahead.Vague)
		w.want("it takes us again", "n", unknown, "n a")
	})
}

// TestAHostInTrouble: a host that speaks of its own system says nothing of a mailbox, neither
// of one that is new nor of one that it took, and does not rest.
func TestAHostInTrouble(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"554 5.3.2", "554 5.3.5", "550 5.4.6"} {
		t.Run(reply, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
				for _, local := range []string{"a", "b"} {
					w.answers(local, callahead.Taken)
					w.want("somebody", local, "ok", local)
				}
				<-time.After(25 * time.Hour)
				w.answers("a", judge(t, reply)) // at one of the machines behind its address
				w.want("a day later, behind the back", "a", "ok", "a")
				w.want("who is known stays so", "a", "ok", "a")
				w.answers("n", judge(t, reply))
				w.want("others wait", "n", later, "n")
				w.answers("n", callahead.Taken)
				w.want("and no longer than it lasts", "n", "ok", "n")
			})
		})
	}
}

// TestExchangeOnline: 550 5.4.1 is there what 5.1.1 is elsewhere, and says so beside one who
// is there.
func TestExchangeOnline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.otherwise(judge(t, "550 5.4.1"))
		w.answers("a", callahead.Taken)
		w.want("somebody", "a", "ok", "a")
		w.want("nobody", "n", unknown, "n a")
		w.want("it is remembered", "n", unknown, "")
	})
}

func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.otherwise(callahead.Taken)
		w.takes = time.Second
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				if got := w.check(fmt.Sprintf("u%d", i%10)); got != "ok" {
					t.Errorf("u%d: %s", i%10, got)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		asked, _ := w.questions()
		if n := len(strings.Fields(asked)); n != 10 || w.most != 4 {
			t.Errorf("%d questions, %d at once: %s", n, w.most, asked)
		}
	})
}

// TestASlowHost: the time for a question begins with its turn, so that a host that takes its
// time over each refusal, and has many names guessed at, does not pass for one that is silent.
func TestASlowHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.answers("real", callahead.Taken)
		w.want("nobody, and a look whether it takes everybody", "n", unknown, "n")
		w.takes = 3 * time.Second // of 10
		var all sync.WaitGroup
		for i := range 32 {
			all.Go(func() {
				if got := w.check(fmt.Sprintf("guess%d", i)); got != unknown {
					t.Errorf("guess%d: %s", i, got)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		w.questions()
		w.want("it is not left alone", "real", "ok", "real")
		if w.most != 4 {
			t.Errorf("%d at once", w.most)
		}
	})
}

// TestALongLine: one who waits too long for his turn is put off, and the host is not blamed.
func TestALongLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.answers("real", callahead.Taken)
		w.want("nobody, and a look whether it takes everybody", "n", unknown, "n")
		w.takes = 9 * time.Second // of 10
		start := time.Now()
		late := 0
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 32 {
			all.Go(func() {
				if w.check(fmt.Sprintf("guess%d", i)) == later {
					mu.Lock()
					defer mu.Unlock()
					late++
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if took := time.Since(start); late != 16 || took > 40*time.Second {
			t.Errorf("%d put off, in %v", late, took)
		}
		w.questions()
		w.want("it is not left alone", "real", "ok", "real")
	})
}

// TestALineLeavesRoomForOthers: names that are guessed at in one domain, whose host is slow,
// do not fill all places.
func TestALineLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.answers("real", callahead.Taken)
		w.want("nobody, and a look whether it takes everybody", "n", unknown, "n")
		w.takes = 9 * time.Second // of 10
		var all sync.WaitGroup
		for i := range 250 {
			all.Go(func() { w.check(fmt.Sprintf("guess%d", i)) })
		}
		synctest.Wait()
		other := address("real")
		other.Domain.ASCII = "other.test"
		if f := w.Check(t.Context(), other); f != nil {
			t.Errorf("a recipient of another domain: %v", f)
		}
		all.Wait()
		synctest.Wait()
		w.questions()
		w.want("once the line is over", "real", "ok", "real")
	})
}

// TestComparisonsAreBounded: each whom a refusal is compared with is asked for in a time of
// his own, and all end before the client loses patience (RFC 5321 §4.5.3.2.3).
func TestComparisonsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		for _, local := range []string{"a", "b", "c"} {
			w.answers(local, callahead.Taken)
			w.want("somebody", local, "ok", local)
			<-time.After(time.Second)
		}
		w.answers("b", callahead.Refused)
		w.answers("c", callahead.Refused)
		w.answers("n", callahead.Vague)
		w.takes = 9 * time.Second // of 10
		w.want("the third tells", "n", unknown, "n c b a")
		w.answers("d", callahead.Taken)
		w.answers("m", callahead.Vague)
		w.patience, w.takes = 4*time.Minute, 3*time.Minute
		start := time.Now()
		w.want("there is no time left", "m", later, "m a")
		if took := time.Since(start); took > 5*time.Minute {
			t.Errorf("it took %v", took)
		}
		w.takes = 0
		w.want("which is not the host's fault", "d", "ok", "d")
	})
}

func TestAHostThatTakesEveryAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		all := func(when string, want bool) {
			t.Helper()
			if got, err := w.TakesAll(t.Context(), address("").Domain); err != nil || got != want {
				t.Errorf("%s: takes all %v, %v", when, got, err)
			}
		}
		all("unasked", false)
		w.otherwise(callahead.Taken)
		w.check("a")
		synctest.Wait()
		if asked, probes := w.questions(); asked != "a" || probes != 1 {
			t.Errorf("asked for %q, %d probes", asked, probes)
		}
		all("asked", true)
		w.want("nobody is asked for any more", "b", "ok", "")
		w.otherwise(callahead.Refused)
		<-time.After(25 * time.Hour)
		w.check("b")
		synctest.Wait()
		if _, probes := w.questions(); probes != 1 {
			t.Errorf("%d probes after a day", probes)
		}
		all("it does not any more", false)
		w.want("and is asked again", "b", unknown, "b")
	})
}

// One who greylists, or never says no, is not asked for nobody each time.
func TestAHostThatTellsNothingOfNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		w.otherwise(callahead.Later)
		for range 5 {
			if got := w.check("a"); got != later {
				t.Error(got)
			}
			synctest.Wait()
		}
		if asked, probes := w.questions(); asked != "a a a a a" || probes != 1 {
			t.Errorf("asked for %q, %d probes", asked, probes)
		}
	})
}

// TestAGreylisterThatTakesEveryAddress: it is found out by one whom it has put off before.
func TestAGreylisterThatTakesEveryAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		var heard sync.Map // of whom, and when
		w.hears = func(local string) callahead.Verdict {
			first, before := heard.LoadOrStore(local, time.Now())
			if !before || time.Since(first.(time.Time)) < 5*time.Minute {
				return callahead.Later
			}
			return callahead.Taken
		}
		all := func(when string, want bool) {
			t.Helper()
			if got, err := w.TakesAll(t.Context(), address("").Domain); err != nil || got != want {
				t.Errorf("%s: takes all %v, %v", when, got, err)
			}
		}
		w.want("one who is made up", "n", later, "n")
		all("at first", false)
		<-time.After(11 * time.Minute)
		w.want("comes again", "n", "ok", "n")
		all("when it is asked again", true)
		<-time.After(25 * time.Hour)
		w.want("a day later", "m", "ok", "")
		<-time.After(11 * time.Minute)
		w.want("and again", "m", "ok", "")
		<-time.After(24*time.Hour - 12*time.Minute)
		all("it was put off in between", true)
		names := 0
		heard.Range(func(local, _ any) bool {
			if strings.HasPrefix(local.(string), "hayauma-") {
				names++
			}
			return true
		})
		if names != 2 {
			t.Errorf("%d names were made up, one for each day is enough", names)
		}
	})
}

func TestAnswersAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, dbtest.New(t, callahead.Schema()))
	w.answers("a", callahead.Taken)
	for range 2 {
		if a, n := w.check("a"), w.check("n"); a != "ok" || n != unknown {
			t.Errorf("a: %s, n: %s", a, n)
		}
		w.restart()
	}
	if asked, _ := w.questions(); asked != "a n" {
		t.Errorf("asked for %q", asked)
	}
	w.answers("closed", callahead.Barred)
	if got := w.check("closed"); got != "550 5.7.1" {
		t.Errorf("closed: %s", got)
	}
	if err := w.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if known, err := w.Known(t.Context(), address("a")); err != nil || !strings.HasPrefix(known, "its host took it ") {
		t.Errorf("known %q, %v", known, err)
	}
	w.otherwise(callahead.Refused)
	if err := w.Forget(t.Context(), address("").Domain); err != nil || w.check("a") != unknown {
		t.Errorf("a after its domain was forgotten: %s, %v", w.check("a"), err)
	}
}

// counts are all counters that are not 0.
func (w *world) counts() string {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if n := m.GetCounter().GetValue(); n > 0 {
				name := strings.TrimSuffix(strings.TrimPrefix(f.GetName(), "hayauma_callahead_"), "_total")
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				out = append(out, fmt.Sprintf("%s %v", name, n))
			}
		}
	}
	return strings.Join(out, ", ")
}

// TestMetrics: each recipient counts once, by what decided; each question that is put to a
// host counts, the one for nobody as well, and those that are not put do not.
func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dbtest.NewEmbedded(t, callahead.Schema()))
		check := func(want string, locals ...string) {
			t.Helper()
			for _, l := range locals {
				w.check(l)
				synctest.Wait()
			}
			// The one for nobody is put before the host is found silent, or not.
			if got := strings.Replace(w.counts(), "silent 2", "silent 1", 1); got != want {
				t.Errorf("%v:\n%s, want\n%s", locals, got, want)
			}
			w.restart() // which counts from 0
		}
		w.answers("a", callahead.Taken)
		w.answers("l", callahead.Later)
		check("questions later 1, questions refused 2, questions taken 1, recipients host later 1, recipients host refused 1, recipients host taken 1", "a", "n", "l")
		check("recipients memory refused 1, recipients memory taken 2", "a", "n", "a")
		<-time.After(8 * 24 * time.Hour)
		w.otherwise(callahead.Later)
		check("questions later 2, recipients host taken 1", "a") // he was there, and is believed to be
		w.otherwise(callahead.Silent)
		<-time.After(time.Hour)
		check("questions silent 1, recipients none later 1, recipients none taken 1", "a", "b")
		w.otherwise(callahead.Taken)
		<-time.After(time.Hour)
		w.check("b") // and it is found to take everybody
		synctest.Wait()
		w.restart()
		check("recipients all taken 1", "c")
	})
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]callahead.Verdict{
		"250 2.1.5": callahead.Taken, "251 ": callahead.Taken,
		"550 5.1.1": callahead.Refused, "550 5.1.10": callahead.Refused, "553 5.1.3": callahead.Refused,
		"550 5.4.1": callahead.Vague, // Exchange Online of a recipient that its directory has not
		"553 5.3.0": callahead.Vague, "554 5.4.0": callahead.Vague,
		"554 5.3.2": callahead.Later, "554 5.3.5": callahead.Later, "550 5.4.4": callahead.Later, "550 5.4.6": callahead.Later, "554 5.4.14": callahead.Later,
		"550 5.2.1": callahead.Refused, // disabled
		"552 5.2.2": callahead.Later, "550 5.2.2": callahead.Later,
		"550 ": callahead.Vague, "551 ": callahead.Vague, "553 ": callahead.Vague, "554 ": callahead.Vague, "521 ": callahead.Vague, "550 5.0.0": callahead.Vague, // Exim, qmail
		"552 ": callahead.Later, "450 4.1.1": callahead.Later, "451 4.7.1": callahead.Later, "452 ": callahead.Later,
		"421 4.3.2": callahead.Silent, "530 5.7.0": callahead.Silent, "354 ": callahead.Silent,
		"550 5.7.1": callahead.Barred, "554 5.7.1": callahead.Barred, "503 5.5.1": callahead.Barred, "501 ": callahead.Barred, "555 5.5.4": callahead.Barred,
	} {
		if got := judge(t, reply); got != want {
			t.Errorf("%s: %d, want %d", reply, got, want)
		}
	}
}

// judge is the verdict on a reply "code c.s.d".
func judge(t *testing.T, reply string) callahead.Verdict {
	t.Helper()
	var code int
	text, enhanced, _ := strings.Cut(reply, " ")
	if _, err := fmt.Sscan(text, &code); err != nil {
		t.Fatal(err)
	}
	return callahead.Judge(code, enhanced)
}
