package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var delivered = Outcome{Result: Delivered, Host: "mx.test", Code: 250, Reply: "ok"}

func always(o Outcome) deliver {
	return func(_ context.Context, _ string, job *Job) []Outcome { return all(job, o) }
}

func TestDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	w.run()
	w.insert(w.message("a@x.test", "b@x.test", "c@y.test"), w.message("d@x.test"))
	w.eventually("an empty queue", w.empty)
	if n := w.obs.count("delivered gone"); n != 4 {
		t.Errorf("%d deliveries observed: %v", n, w.obs.seen())
	}
	w.eventually("the memory to be free", func() bool { return w.octets() == 0 })
}

func (w *world) octets() int64 {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	return w.q.octets
}

func TestOneJobPerMessageAndSite(t *testing.T) {
	t.Parallel()
	for _, memory := range []int64{16 << 20, 0} {
		var mu sync.Mutex
		var jobs []string
		w := newWorld(t, deliver(func(_ context.Context, site string, job *Job) []Outcome {
			mu.Lock()
			defer mu.Unlock()
			jobs = append(jobs, fmt.Sprintf("%s %d", site, len(job.Recipients)))
			if job.Message.From.String() != "sender@home.test" || job.Message.Size != 100 || job.Message.Stream != "main" {
				t.Errorf("message read back wrong: %+v", job.Message)
			}
			return all(job, delivered)
		}), func(s *Settings) { s.Memory = memory })
		w.run()
		w.insert(w.message("a@x.test", "b@y.test", "c@x.test", "d@y.test", "e@x.test"))
		w.eventually("an empty queue", w.empty)
		slices.Sort(jobs)
		if got := strings.Join(jobs, ", "); got != "x.test 3, y.test 2" {
			t.Errorf("memory %d: jobs %s", memory, got)
		}
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered), func(s *Settings) { s.Hold = true })
	w.run()
	local := w.message("here@home.test")
	local.Recipients[0].Site = SiteLocal
	w.insert(w.message("a@x.test", "b@y.test"), local)
	w.eventually("the local one", func() bool { return w.obs.count("here@home.test delivered") == 1 })
	if s := w.stats(); s[Held] != 2 || len(s) != 1 {
		t.Fatalf("states %v", s)
	}
	if n, err := w.q.Release(t.Context(), Filter{Domain: "X.test"}); n.All() != 1 || err != nil {
		t.Fatalf("release: %d, %v", n, err)
	}
	w.eventually("the released one", func() bool { return w.obs.count("a@x.test delivered") == 1 })
	if s := w.stats(); s[Held] != 1 {
		t.Errorf("states %v", s)
	}
}

func TestFailedAndSettle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(Outcome{Result: Refused, Host: "mx.test", Code: 550, Enhanced: "5.1.1", Reply: "no such user\nreally"}))
	w.run()
	m := w.message("a@x.test", "b@x.test")
	m.Ret, m.EnvID, m.UTF8, m.EightBit, m.Tags, m.Prefix = "HDRS", "id", true, true, []string{"one", "two"}, []byte("X: y\r\n")
	m.Recipients[0].Notify, m.Recipients[0].ORCPT = mail.NotifyFailure, "rfc822;a@x.test"
	w.insert(m)
	<-w.q.FailedWake()
	list, err := w.q.Failed(t.Context(), 0, 10)
	w.must(err)
	if len(list) != 1 || len(list[0].Recipients) != 2 {
		t.Fatalf("failed: %+v", list)
	}
	got, r := list[0], list[0].Recipients[0]
	if got.Ret != "HDRS" || got.EnvID != "id" || !got.UTF8 || !got.EightBit || len(got.Tags) != 2 || string(got.Prefix) != "X: y\r\n" ||
		got.Expires != m.Received+w.set.Lifetime.Microseconds() {
		t.Errorf("message %+v", got)
	}
	if r.Code != 550 || r.Enhanced != "5.1.1" || r.Reply != "no such user\nreally" || r.Ours || r.Host != "mx.test" ||
		r.State != Failed || r.Expired || r.Notify != mail.NotifyFailure || r.ORCPT != "rfc822;a@x.test" || r.Attempts != 1 {
		t.Errorf("recipient %+v", r)
	}
	settle := func(ids ...mail.ID) {
		w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return w.q.Settle(tx, ids) }))
	}
	settle(r.ID)
	if w.rows("queue_recipient") != 1 || w.rows("queue_message") != 1 {
		t.Error("settling one recipient took more than its row")
	}
	settle(list[0].Recipients[1].ID)
	if !w.empty() {
		t.Error("the message stays without recipients")
	}
}

// TestSettleOfWhatIsGone: what somebody deleted while its report was written gets
// none, and who stood beside it stays to be told of.
func TestSettleOfWhatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(Outcome{Result: Refused, Code: 550}))
	stop := w.run()
	m := w.message("a@x.test", "b@x.test")
	w.insert(m)
	w.eventually("both to fail", func() bool { return w.stats()[Failed] == 2 })
	stop()
	a, b := m.Recipients[0].ID, m.Recipients[1].ID
	if n, err := w.q.Delete(t.Context(), Filter{IDs: []mail.ID{a}}); n.All() != 1 || err != nil {
		t.Fatalf("deleted %d, %v", n, err)
	}
	settle := func(ids ...mail.ID) error {
		return w.db.Write(t.Context(), func(tx *db.Tx) error { return w.q.Settle(tx, ids) })
	}
	if err := settle(a, b); !errors.Is(err, ErrNotFound) || w.stats()[Failed] != 1 {
		t.Errorf("a report on both: %v; states %v", err, w.stats())
	}
	if err := settle(b); err != nil || !w.empty() {
		t.Errorf("a report on the other: %v", err)
	}
}

func TestAlsoErrorIsTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		out := all(job, delivered)
		for i, r := range job.Recipients {
			out[i].Also = func(tx *db.Tx) error {
				if _, err := tx.Exec(db.SQL("UPDATE queue_message SET stream = 'also' WHERE id = ?"), int64(job.Message.ID)); err != nil {
					return err
				}
				if r.Address.Local == "bad" {
					return errors.New("no place to file it")
				}
				return nil
			}
		}
		return out
	}))
	w.run()
	w.insert(w.message("a@x.test", "bad@x.test", "c@x.test"), w.message("bad@x.test"))
	w.eventually("all results", func() bool { return len(w.obs.seen()) == 4 })
	if w.obs.count("delivered gone") != 2 || w.obs.count("bad@x.test deferred deferred") != 2 {
		t.Errorf("events %v", w.obs.seen())
	}
	list, err := w.q.List(t.Context(), Filter{All: true})
	w.must(err)
	if len(list) != 2 || list[1].Stream != "main" {
		t.Errorf("rows of an outcome that was undone stay: %+v", list)
	}
}

func TestObserverErrorIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	first := true
	w.obs.fail = func([]Report) error {
		if first {
			first = false
			return errDown
		}
		return nil
	}
	w.run()
	w.insert(w.message("a@x.test"), w.message("b@y.test"))
	w.eventually("an empty queue", w.empty)
	if w.obs.count("delivered gone") != 2 {
		t.Errorf("events %v", w.obs.seen())
	}
}

func TestResultOfALostLeaseIsDropped(t *testing.T) {
	t.Parallel()
	under, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		close(under)
		<-goOn
		return all(job, Outcome{Result: Refused, Code: 550})
	}))
	w.run()
	w.insert(w.message("a@x.test"))
	<-under
	w.exec("UPDATE queue_recipient SET owner = 12345")
	close(goOn)
	w.eventually("the memory to be free", func() bool { return w.octets() == 0 })
	if s := w.stats(); s[Leased] != 1 || len(s) != 1 || len(w.obs.seen()) != 0 {
		t.Errorf("states %v, events %v", s, w.obs.seen())
	}
}

// TestResultWhoseAnswerWasLost: it is recorded, comes again, and does not count for
// the attempt that goes on meanwhile.
func TestResultWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	for _, result := range []Result{TryLater, NotTried} {
		w := newWorld(t, always(delivered))
		m := w.message("a@x.test")
		w.insert(m)
		id := m.Recipients[0].ID
		claim := func() *item {
			w.must(w.q.claim(t.Context(), []int64{int64(id)}))
			l := w.q.sites["x.test"].ready.pop()
			return &item{lease: l, r: l.job.Recipients[0], outcome: Outcome{Recipient: id, Result: result}}
		}
		first := claim()
		w.must(w.q.write(t.Context(), []*item{first})) // ... and nobody hears of it
		second := claim()
		w.must(w.q.write(t.Context(), []*item{first}))
		if s := w.stats(); !first.lost || s[Leased] != 1 {
			t.Errorf("%v: lost %v, states %v; want the second attempt to go on", result, first.lost, s)
		}
		second.outcome = delivered
		if w.must(w.q.write(t.Context(), []*item{second})); second.lost || !w.empty() {
			t.Errorf("%v: the second attempt is lost %v, states %v", result, second.lost, w.stats())
		}
	}
}

// TestDryRelease: it counts those under way that are to be held, as the release itself does.
func TestDryRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.q.running, w.q.stuck = true, true // no worker begins by itself
	m := w.message("a@x.test", "b@x.test")
	w.insert(m)
	w.must(w.q.claim(t.Context(), []int64{int64(m.Recipients[0].ID), int64(m.Recipients[1].ID)}))
	release := func(dry bool, want int) {
		t.Helper()
		if n, err := w.q.Release(t.Context(), Filter{All: true, DryRun: dry}); n.All() != want || err != nil {
			t.Errorf("dry %v: %d released, %v; want %d", dry, n, err, want)
		}
	}
	release(true, 0)
	_, err := w.q.Hold(t.Context(), Filter{IDs: []mail.ID{m.Recipients[1].ID}})
	w.must(err)
	release(true, 1)
	release(false, 1)
	release(true, 0)
}

// TestWishOfALaterLease: a result that comes again, and is dropped, does not take
// away what somebody wishes of the attempt that is about to begin.
func TestWishOfALaterLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.q.running, w.q.stuck = true, true // no worker begins by itself
	m := w.message("a@x.test")
	w.insert(m)
	id := m.Recipients[0].ID
	claim := func() *item {
		w.must(w.q.claim(t.Context(), []int64{int64(id)}))
		l := w.q.sites["x.test"].ready.pop()
		return &item{lease: l, r: l.job.Recipients[0], outcome: Outcome{Recipient: id, Result: TryLater}}
	}
	hold := func(want int) {
		t.Helper()
		if n, err := w.q.Hold(t.Context(), Filter{IDs: []mail.ID{id}}); n.All() != 1 || err != nil || len(w.q.wished) != want {
			t.Fatalf("held %d, %v, wishes %v", n, err, w.q.wished)
		}
	}
	first := claim()
	w.must(w.q.write(t.Context(), []*item{first})) // ... and nobody hears of it
	second := claim()
	hold(1)
	if left := w.q.record(t.Context(), []*item{first}); len(left) != 0 || !first.lost {
		t.Fatalf("the repeated result: %v, lost %v", left, first.lost)
	}
	if w.q.withdraw(second.lease); len(second.lease.job.Recipients) != 0 || len(w.q.results) != 1 {
		t.Error("the attempt begins although somebody holds it")
	}
	w.q.record(t.Context(), w.q.take())
	if s := w.stats(); s[Held] != 1 || len(w.q.wished) != 0 {
		t.Errorf("states %v, wishes %v", s, w.q.wished)
	}
	// A wish of the lease before is none of this one.
	_, err := w.q.Release(t.Context(), Filter{IDs: []mail.ID{id}})
	w.must(err)
	third := claim()
	hold(1)
	w.must(w.q.write(t.Context(), []*item{third})) // nobody hears of this one either
	_, err = w.q.Release(t.Context(), Filter{IDs: []mail.ID{id}})
	w.must(err)
	fourth := claim()
	if w.q.withdraw(fourth.lease); len(fourth.lease.job.Recipients) != 1 {
		t.Error("withdrawn for the wish of a lease that is over")
	}
	if w.q.record(t.Context(), []*item{third}); len(w.q.wished) != 0 {
		t.Errorf("wishes %v", w.q.wished)
	}
}

func TestPanicDelaysMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		var none []int
		_ = none[len(job.Recipients)]
		return nil
	}))
	w.run()
	w.insert(w.message("a@x.test"))
	w.eventually("a result", func() bool { return w.obs.count("a@x.test deferred deferred") == 1 })
}

type lazy struct{ calls chan struct{} }

func (l lazy) Deliver(context.Context, string, func() *Job, func(*Job, []Outcome)) {
	l.calls <- struct{}{}
}

func TestADelivererThatTakesNothingDoesNotSpin(t *testing.T) {
	t.Parallel()
	l := lazy{make(chan struct{}, 100)}
	w := newWorld(t, l)
	w.run()
	w.insert(w.message("a@x.test"))
	w.eventually("the job to be given back", func() bool { return w.stats()[Queued] == 1 })
	if n := len(l.calls); n != 1 {
		t.Errorf("called %d times", n)
	}
}

func TestLimitsAndFairness(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most := map[string]int{}, map[string]int{}
	block := make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, site string, job *Job) []Outcome {
		mu.Lock()
		now[site]++
		now["all"]++
		most[site] = max(most[site], now[site])
		most["all"] = max(most["all"], now["all"])
		mu.Unlock()
		if site == "slow.test" {
			<-block
		}
		mu.Lock()
		now[site]--
		now["all"]--
		mu.Unlock()
		return all(job, delivered)
	}), func(s *Settings) { s.Concurrency, s.PerSite = 6, 4 })
	var many []*Message
	for i := range 3000 / scale {
		many = append(many, w.message(fmt.Sprintf("u%d@slow.test", i)))
	}
	w.insert(many...) // not running yet: all wait in the database
	w.insert(w.message("a@fast.test"), w.message("b@fast.test"))
	w.run()
	w.insert(w.message("c@fast.test"), w.message("d@other.test"))
	w.eventually("the fast ones", func() bool { return w.obs.count("fast.test delivered") == 3 && w.obs.count("d@other") == 1 })
	if n := w.stats()[Leased]; n > siteRows+10 {
		t.Errorf("%d rows of a slow site are held in memory", n)
	}
	w.eventually("as many workers as a site may have", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return now["slow.test"] == 4
	})
	close(block)
	w.eventually("an empty queue", w.empty)
	if most["slow.test"] != 4 || most["all"] > 6 {
		t.Errorf("at once: %v", most)
	}
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	if len(w.q.sites) > 1 {
		t.Errorf("%d sites are remembered", len(w.q.sites))
	}
}

func TestAFailingDatabaseLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	f := &failing{DB: w.db}
	var calls int
	w.db = f
	w.open(deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		calls++
		f.set(errDown)
		return all(job, delivered)
	}))
	w.set.PerSite = 1
	w.run()
	w.insert(w.message("a@x.test"), w.message("b@x.test"), w.message("c@x.test"))
	w.eventually("a refused write", func() bool { return f.refused() > 0 })
	if n := f.refused(); n > 20 {
		t.Errorf("%d writes in no time", n)
	}
	w.eventually("an empty queue", func() bool {
		f.set(nil)
		return w.empty()
	})
	if w.obs.count("delivered gone") != 3 || calls != 3 {
		t.Errorf("%d calls, events %v", calls, w.obs.seen())
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	under := make(chan struct{}, 10)
	w := newWorld(t, deliver(func(ctx context.Context, _ string, job *Job) []Outcome {
		under <- struct{}{}
		<-ctx.Done()
		if job.Recipients[0].Address.Local == "done" {
			return all(job, delivered)
		}
		return nil // not tried
	}), func(s *Settings) { s.PerSite = 1 })
	stop := w.run()
	w.insert(w.message("done@x.test"), w.message("never@x.test"), w.message("cut@y.test"))
	<-under
	<-under
	stop()
	if s := w.stats(); s[Queued] != 2 || len(s) != 1 || w.obs.count("done@x.test delivered gone") != 1 {
		t.Errorf("states %v, events %v", s, w.obs.seen())
	}
	list, err := w.q.List(t.Context(), Filter{All: true})
	w.must(err)
	for _, m := range list {
		if r := m.Recipients[0]; r.Attempts != 0 || r.Next > micros() {
			t.Errorf("given back as %+v", r)
		}
	}
}

func TestLeasesOfADeadProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered))
	w.insert(w.message("a@x.test", "b@x.test", "c@x.test", "d@x.test", "f@x.test"), w.message("e@x.test"))
	w.exec("UPDATE queue_recipient SET state = 2, owner = 99")
	for i, local := range []string{"b", "c", "d", "f"} { // hold, bounce, delete, hold with the account
		w.exec("UPDATE queue_recipient SET wish = ? WHERE address = ?", i+1, local+"@x.test")
	}
	w.open(always(delivered))
	n, err := w.q.Recover(t.Context())
	if n != 6 || err != nil {
		t.Fatalf("recovered %d, %v", n, err)
	}
	if s := w.stats(); s[Queued] != 2 || s[Held] != 3 || s[Failed] != 1 {
		t.Errorf("states %v", s)
	}
	if got := w.holders(); got["b"] != HeldByHand || got["d"] != HeldUndeletable || got["f"] != HeldWithAccount || len(got) != 3 {
		t.Errorf("held by %v", got)
	}
	seen := w.obs.seen()
	slices.Sort(seen)
	if want := []string{"b@x.test held held", "c@x.test failed failed", "d@x.test held held", "f@x.test held held"}; !slices.Equal(seen, want) {
		t.Errorf("events %v, want %v", seen, want)
	}
}

// holders are those of what is on hold, by local part.
func (w *world) holders() map[string]Holder {
	w.t.Helper()
	out := map[string]Holder{}
	list, err := w.q.List(w.t.Context(), Filter{State: Held})
	w.must(err)
	for _, m := range list {
		for _, r := range m.Recipients {
			out[r.Address.Local] = r.Holder
		}
	}
	return out
}

// TestAnAccountIsReleased: what an operator holds, the setting or a rule stays, whether the
// operator said so before the account was held or after it, and of what was under way too.
func TestAnAccountIsReleased(t *testing.T) {
	t.Parallel()
	under, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		if strings.HasPrefix(job.Recipients[0].Address.Local, "under") {
			under <- struct{}{}
			<-goOn
		}
		return all(job, Outcome{Result: TryLater, Code: 451})
	}))
	ids := map[string]mail.ID{}
	sent := func(local string, change func(*Message)) *Message {
		m := w.message(local + "@x.test")
		m.Account = 7
		change(m)
		ids[local] = m.ID
		return m
	}
	plain := func(*Message) {}
	verb := func(name string, n int, act func(context.Context, Filter) (Touched, error), locals ...string) {
		t.Helper()
		var f Filter
		for _, l := range locals {
			f.IDs = append(f.IDs, ids[l])
		}
		if got, err := act(t.Context(), f); got.All() != n || err != nil {
			t.Errorf("%s %v: %d, %v", name, locals, got, err)
		}
	}
	w.hold.Store(true)
	w.insert(sent("setting", plain), sent("rule", func(m *Message) { m.Recipients[0].State = Held }))
	w.hold.Store(false)
	w.run()
	w.insert(sent("before", plain), sent("after", plain), sent("other", func(m *Message) { m.Account = 8 }), sent("free", plain), sent("again", plain))
	w.eventually("all deferred", func() bool { return w.stats()[Deferred] == 5 })
	w.insert(sent("underbefore", plain), sent("underafter", plain), sent("underdelete", plain), sent("underfree", plain))
	for range 4 {
		<-under
	}
	verb("hold", 2, w.q.Hold, "before", "underbefore")
	verb("delete", 1, w.q.Delete, "underdelete")
	if n, err := w.q.HoldAccount(t.Context(), 7); n.All() != 5 || err != nil {
		t.Errorf("%d held with the account, %v", n, err)
	}
	verb("hold", 2, w.q.Hold, "after", "underafter")
	verb("hold, a second time,", 0, w.q.Hold, "after", "before")
	if got := w.holders(); got["after"] != HeldByHand || got["free"] != HeldWithAccount {
		t.Errorf("held by %v", got)
	}
	verb("release", 1, w.q.Release, "again")
	if n, err := w.q.ReleaseAccount(t.Context(), 7); n.All() != 2 || err != nil {
		t.Errorf("%d released, %v", n, err)
	}
	close(goOn)
	w.eventually("rest", func() bool { s := w.stats(); return s[Queued]+s[Leased] == 0 })
	want := map[string]Holder{"setting": HeldBySetting, "rule": HeldAsItCame, "before": HeldByHand, "after": HeldByHand, "underbefore": HeldByHand, "underafter": HeldByHand}
	if got := w.holders(); !maps.Equal(got, want) || w.obs.count("underdelete@x.test deleted gone") != 1 {
		t.Errorf("held by %v, want %v; %v", got, want, w.obs.seen())
	}
}

// TestAnAccountIsHeld: what is under way as well, when its attempt is over.
func TestAnAccountIsHeld(t *testing.T) {
	t.Parallel()
	under, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		close(under)
		<-goOn
		return all(job, Outcome{Result: TryLater, Code: 451})
	}))
	w.run()
	m := w.message("a@x.test")
	m.Account = 7
	w.insert(m)
	<-under
	if n, err := w.q.HoldAccount(t.Context(), 7); n.All() != 1 || err != nil {
		t.Errorf("%d held with the account, %v", n, err)
	}
	close(goOn)
	w.eventually("it on hold", func() bool { return w.stats()[Held] == 1 })
	if got := w.holders(); got["a"] != HeldWithAccount || w.obs.count("a@x.test held held") != 1 {
		t.Errorf("held by %v; %v", got, w.obs.seen())
	}
	if n, err := w.q.ReleaseAccount(t.Context(), 7); n.All() != 1 || err != nil {
		t.Errorf("%d released, %v", n, err)
	}
}

// TestWhoHolds: it stands in the row, whichever way it came there, until it is let go.
func TestWhoHolds(t *testing.T) {
	t.Parallel()
	under, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		close(under)
		<-goOn
		return all(job, Outcome{Result: TryLater, Code: 451})
	}))
	w.hold.Store(true)
	came := w.message("came@x.test")
	came.Recipients[0].State = Held
	w.insert(w.message("setting@x.test"), w.message("hand@x.test"), came)
	hold := func(local string) {
		t.Helper()
		list, err := w.q.List(t.Context(), Filter{All: true})
		w.must(err)
		for _, m := range list {
			if m.Recipients[0].Address.Local == local {
				_, err := w.q.Hold(t.Context(), Filter{IDs: []mail.ID{m.ID}})
				w.must(err)
			}
		}
	}
	if got := w.holders(); got["setting"] != HeldBySetting || got["hand"] != HeldBySetting || got["came"] != HeldAsItCame {
		t.Errorf("held by %v", got)
	}
	_, err := w.q.Release(t.Context(), Filter{All: true})
	w.must(err)
	hold("hand")
	hold("came")
	w.run()
	<-under
	hold("setting") // which is under way
	close(goOn)
	w.eventually("all on hold", func() bool { return w.stats()[Held] == 3 })
	for local, h := range w.holders() {
		if h != HeldByHand {
			t.Errorf("%s is held by %d", local, h)
		}
	}
}

func TestMemoryBudget(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		<-block
		return all(job, delivered)
	}), func(s *Settings) { s.Memory = 100 * (messageOctets + recipientOctets) })
	w.run()
	for range 10 {
		var list []*Message
		for i := range 1000 / scale {
			list = append(list, w.message(fmt.Sprintf("a@d%d.test", i)))
		}
		w.insert(list...)
	}
	if scale == 1 {
		w.eventually("claims to end", func() bool { return w.octets() > claimMemory })
	}
	if n := w.octets(); n > claimMemory+w.set.Memory+page*2000 {
		t.Errorf("%d octets held", n)
	}
	close(block)
	w.eventually("an empty queue", w.empty)
	// Rows are gone a moment before those hear of it who brought the results.
	w.eventually("the last results", func() bool { return w.octets() == 0 })
	if n := w.obs.count("delivered gone"); n != 10*(1000/scale) {
		t.Errorf("%d deliveries", n)
	}
}

func TestDelayNotice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(Outcome{Result: TryLater, Code: 451}))
	w.run()
	young, old := w.message("young@x.test"), w.message("old@x.test", "other@x.test")
	old.Received -= (5 * time.Hour).Microseconds()
	w.insert(young, old)
	w.eventually("attempts", func() bool { return w.stats()[Deferred] == 3 })
	late, err := w.q.Delayed(t.Context(), 10)
	w.must(err)
	if len(late) != 1 || late[0].ID != old.ID || len(late[0].Recipients) != 2 {
		t.Fatalf("late: %+v", late)
	}
	w.must(w.db.Write(t.Context(), func(tx *db.Tx) error {
		return w.q.MarkDelayed(tx, []mail.ID{late[0].Recipients[0].ID, late[0].Recipients[1].ID})
	}))
	if late, err = w.q.Delayed(t.Context(), 10); len(late) != 0 || err != nil {
		t.Errorf("told twice: %+v, %v", late, err)
	}
	// Of one who does not wait any more nobody is told that he does.
	for _, left := range []string{"state = 2", "state = 4", "state = 5", "state = 6", ""} {
		err := w.db.Write(t.Context(), func(tx *db.Tx) error {
			if _, err := tx.Exec(db.SQL("UPDATE queue_recipient SET " + cmp.Or(left, "id = 1") + " WHERE address = 'old@x.test'")); err != nil {
				return err
			}
			return w.q.MarkDelayed(tx, []mail.ID{old.Recipients[0].ID, old.Recipients[1].ID})
		})
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", left, err)
		}
	}
	if m, err := w.q.Show(t.Context(), old.ID); err != nil || !m.Recipients[0].Delayed {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestHugeMessage(t *testing.T) {
	t.Parallel()
	var most int
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		most = max(most, len(job.Recipients))
		return all(job, delivered)
	}), func(s *Settings) { s.PerSite = 1 })
	w.run()
	var to []string
	for i := range 2500 / scale {
		to = append(to, fmt.Sprintf("u%d@x.test", i))
	}
	w.insert(w.message(to...))
	w.eventually("an empty queue", w.empty)
	if w.obs.count("delivered gone") != 2500/scale || most > maxJob {
		t.Errorf("%d deliveries, at most %d in a job", w.obs.count("delivered gone"), most)
	}
}
