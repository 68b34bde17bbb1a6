package queue

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// gate is a Deliverer for a host that is there or not.
type gate struct {
	busy  bool // it is there and lets nobody in
	code  int  // with which it does not; 0 = 421
	open  atomic.Bool
	tries atomic.Int64 // to connect
	took  atomic.Int64
}

func (g *gate) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	for job := next(); job != nil; job = next() {
		now := micros()
		if !g.open.Load() {
			g.tries.Add(1)
			o := Outcome{Result: TryLater, Ours: true, Unreached: true, Code: 451, Enhanced: "4.4.1", Host: "mx.far.test",
				Addr: netip.MustParseAddrPort("127.0.0.1:25"), Reply: "connect to mx.far.test: timed out", Started: now, Ended: now}
			if g.busy {
				o.Ours, o.Strained, o.Code, o.Enhanced, o.Reply = false, true, cmp.Or(g.code, 421), "4.7.0", "too many connections"
			}
			done(job, all(job, o))
			continue
		}
		g.took.Add(int64(len(job.Recipients)))
		done(job, all(job, Outcome{Result: Delivered, Code: 250, Started: now, Ended: now}))
	}
}

// fill puts messages for one site into the queue.
func (w *world) fill(n int, site string) {
	for range n / 100 {
		var list []*Message
		for i := range 100 {
			list = append(list, w.message(fmt.Sprintf("u%d@%s", i, site)))
		}
		w.insert(list...)
	}
}

// TestOneMessageProbes lets a host with 2,000 messages be away, or busy, for three
// hours: it is tried now and then by one of them, and as soon as it is back all go.
func TestOneMessageProbes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		busy               bool
		code               int
		said, words, event string
	}{
		{false, 0, "timed out", "its destination cannot be reached", "connect to mx.far.test: timed out"},
		{true, 421, "too many", "its destination cannot be reached", "lets nobody in: 421 4.7.0 too many connections"},
		{true, 554, "too many", "its destination lets nobody in: 554 4.7.0 too many connections", "lets nobody in: 554 4.7.0 too many connections"},
		{true, 535, "too many", "its destination refuses our login: 535 4.7.0 too many connections", "refuses our login: 535 4.7.0 too many connections"},
	} {
		h := &heard{}
		probed(t, &gate{busy: c.busy, code: c.code}, h, c.said, c.words)
		if !slices.ContainsFunc(h.list, func(h Change) bool { return h.Kind == SiteOff && h.Why == c.event }) {
			t.Errorf("told %+v, want %q", h.list, c.event)
		}
	}
}

func probed(t *testing.T, g *gate, h *heard, said, words string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, g)
		w.q.o.Changed = h.note
		w.run()
		n := 2000
		if scale > 1 {
			n = 200
		}
		w.fill(n, "far.test")
		time.Sleep(time.Minute)
		synctest.Wait()
		// Some workers began together; after that one tries.
		if tries := g.tries.Load(); tries < 1 || tries > int64(w.set.PerSite)+1 {
			t.Errorf("%d connections in the first minute", tries)
		}
		if s := w.stats(); s[Deferred] != int64(n) {
			t.Errorf("states: %v, want all deferred", s)
		}
		if d, ok := w.q.Down("far.test"); !ok || !strings.Contains(d.Reply, said) || d.Words() != words || !d.Until.After(time.Now()) {
			t.Errorf("down: %+v, %v", d, ok)
		}
		before := g.tries.Load()
		time.Sleep(3 * time.Hour)
		if tries := g.tries.Load() - before; tries < 10 || tries > 20 {
			t.Errorf("%d connections in three hours", tries)
		}
		// Each message had its turn, as if it had been tried.
		if seen := w.obs.count("deferred"); seen < 3*n {
			t.Errorf("%d events of messages that were deferred", seen)
		}
		g.open.Store(true)
		time.Sleep(probeLongest + time.Minute)
		if took := g.took.Load(); took != int64(n) {
			t.Errorf("%d messages have gone %v after it is back, want all %d", took, probeLongest, n)
		}
		if _, ok := w.q.Down("far.test"); ok {
			t.Error("it is still down")
		}
	})
}

// TestNobodyExpiresByAnOldFinding: what another attempt found counts for a message
// whose lifetime is over only if that attempt began later.
func TestNobodyExpiresByAnOldFinding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		w := newBubble(t, g, func(s *Settings) { s.Lifetime = 2 * time.Hour })
		w.run()
		w.fill(100, "far.test")
		time.Sleep(2*time.Hour - time.Second)
		if s := w.stats(); s[Deferred] != 100 {
			t.Fatalf("states before the lifetime is over: %v", s)
		}
		before := g.tries.Load()
		time.Sleep(probeLongest + 2*time.Second)
		if s := w.stats(); s[Failed] != 100 {
			t.Errorf("states after it: %v", s)
		}
		if tries := g.tries.Load() - before; tries < 1 || tries > 3 {
			t.Errorf("%d connections ended them", tries)
		}
	})
}

func TestAnOldFindingEndsNothing(t *testing.T) {
	t.Parallel()
	c := circumstances{now: 1000, expires: 900, settings: defaults()}
	for _, tt := range []struct {
		started int64
		want    State
	}{{899, Deferred}, {900, Failed}} {
		o := Outcome{Result: TryLater, Shared: true, Started: tt.started, Again: time.Minute}
		if v := apply(Recipient{State: Leased}, o, c); v.r.State != tt.want {
			t.Errorf("a finding of %d, expiry at 900: %v, want %v", tt.started, v.r.State, tt.want)
		}
	}
}

// TestGoodConnectionsGoOn: where some connections work and further ones are
// refused, the site is not down.
func TestGoodConnectionsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int64
		d := limited{open: &open, most: 2}
		w := newBubble(t, d)
		w.run()
		w.fill(200, "busy.test")
		time.Sleep(30 * time.Second)
		if _, ok := w.q.Down("busy.test"); ok {
			t.Error("it is down")
		}
		if n := w.obs.count("delivered"); n != 200 || len(w.obs.seen()) > n+w.set.PerSite {
			t.Errorf("%d of 200 are delivered, %d events", n, len(w.obs.seen()))
		}
	})
}

// TestGoodConnectionsStay: when refused connections make a provider narrow, those that
// work are kept, and the others leave.
func TestGoodConnectionsStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hesitant{most: 2}
		w := newBubble(t, h)
		w.run()
		w.fill(100, "busy.test")
		time.Sleep(200 * time.Millisecond)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.let != 2 || h.refused < 3 {
			t.Errorf("%d connections were let in and %d refused, want the first 2 to go on", h.let, h.refused)
		}
	})
}

// hesitant takes so many connections at once, and refuses each further one later than
// the one before.
type hesitant struct {
	mu                 sync.Mutex
	most               int
	open, let, refused int
}

func (h *hesitant) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	for job, in := next(), false; job != nil; job = next() {
		started := micros()
		h.mu.Lock()
		later := time.Duration(0)
		switch {
		case in:
		case h.open < h.most:
			in = true
			h.open++
			h.let++
			defer h.close()
		default:
			h.refused++
			later = time.Duration(h.refused) * 60 * time.Millisecond
		}
		h.mu.Unlock()
		if later > 0 {
			<-time.After(later)
			done(job, all(job, Outcome{Result: TryLater, Ours: true, Unreached: true, Code: 451, Enhanced: "4.4.1", Started: started, Ended: micros()}))
			return
		}
		<-time.After(50 * time.Millisecond)
		done(job, all(job, Outcome{Result: Delivered, Code: 250, Started: started, Ended: micros()}))
	}
}

func (h *hesitant) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
}

// TestAwayAfterAll: that a site was there for others says nothing of what is tried later.
func TestAwayAfterAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var jobs atomic.Int64
		w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
			started := micros()
			<-time.After(50 * time.Millisecond)
			if jobs.Add(1) > 100 {
				return all(job, Outcome{Result: TryLater, Ours: true, Unreached: true, Code: 451, Enhanced: "4.4.1", Started: started, Ended: micros()})
			}
			return all(job, Outcome{Result: Delivered, Code: 250, Started: started, Ended: micros()})
		}))
		w.run()
		w.fill(200, "far.test")
		time.Sleep(5 * time.Second)
		if _, ok := w.q.Down("far.test"); !ok || jobs.Load() > int64(100+4*w.set.PerSite) {
			t.Errorf("down: %v, after %d attempts of which 100 went well", ok, jobs.Load())
		}
	})
}

// limited takes so many connections at once; one that it refuses takes no place, and
// is answered a little after the others.
type limited struct {
	open *atomic.Int64
	most int64
}

func (l limited) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	in := l.open.Add(1) <= l.most
	if in {
		defer l.open.Add(-1)
	} else {
		l.open.Add(-1)
	}
	for job := next(); job != nil; job = next() {
		<-time.After(50 * time.Millisecond)
		if !in {
			<-time.After(10 * time.Millisecond)
			now := micros()
			done(job, all(job, Outcome{Result: TryLater, Ours: true, Unreached: true, Code: 451, Enhanced: "4.4.1", Started: now, Ended: now}))
			return
		}
		now := micros()
		done(job, all(job, Outcome{Result: Delivered, Code: 250, Started: now, Ended: now}))
	}
}

// TestARestartKnowsWhoIsDown: after a start one message tries each site for which something
// waits since it could not be reached, and what waits goes as soon as that succeeds.
func TestARestartKnowsWhoIsDown(t *testing.T) {
	t.Parallel()
	for _, busy := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := &gate{busy: busy}
			w := newBubble(t, g, func(s *Settings) { s.Retry, s.Lifetime = []time.Duration{8 * time.Hour}, 48*time.Hour })
			stop := w.run()
			w.fill(200, "far.test")
			time.Sleep(2 * time.Hour)
			stop()
			w.open(g)
			before := g.tries.Load()
			w.run()
			time.Sleep(time.Second)
			if tries := g.tries.Load() - before; tries != 1 {
				t.Errorf("busy %v: %d connections at the start, want 1", busy, tries)
			}
			time.Sleep(time.Hour)
			if tries := g.tries.Load() - before; tries < 5 || tries > 10 {
				t.Errorf("busy %v: %d connections in the first hour", busy, tries)
			}
			g.open.Store(true)
			time.Sleep(probeLongest + time.Minute)
			if took := g.took.Load(); took != 200 {
				t.Errorf("busy %v: %d of 200 messages have gone %v after it is back", busy, took, probeLongest)
			}
			if _, ok := w.q.Down("far.test"); ok {
				t.Errorf("busy %v: it is still down", busy)
			}
		})
	}
}

// TestACleanStopBlamesNobody: what waits for the reply to the whole message when the server
// stops is due at the next start, and its site is not taken for one that is down.
func TestACleanStopBlamesNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, deliver(func(ctx context.Context, _ string, job *Job) []Outcome {
			<-ctx.Done()
			return all(job, Outcome{Result: CutOff, Ours: true, Host: "mx.far.test", Code: 421, Enhanced: "4.4.2", Started: micros(), Ended: micros()})
		}), func(s *Settings) { s.Retry = []time.Duration{8 * time.Hour} })
		stop := w.run()
		w.insert(w.message("a@far.test"), w.message("b@near.test"))
		synctest.Wait()
		stop()
		if w.obs.count("cut_off queued") != 2 {
			t.Errorf("told of %v", w.obs.seen())
		}
		w.open(always(delivered))
		if err := w.q.takeOver(t.Context()); err != nil || len(w.q.sites) > 0 {
			t.Errorf("sites %v, %v", w.q.sites, err)
		}
		w.run()
		time.Sleep(time.Second)
		if n := w.obs.count("delivered gone"); n != 2 {
			t.Errorf("%d of 2 went at the next start: %v", n, w.obs.seen())
		}
	})
}

// TestARestartTriesOneByOne: after a start sites that were down are not all tried at once;
// new mail for one is, and takes with it what waits there.
func TestARestartTriesOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		w := newBubble(t, g, func(s *Settings) { s.Retry, s.Lifetime = []time.Duration{8 * time.Hour}, 48*time.Hour })
		stop := w.run()
		for _, site := range []string{"a.test", "b.test", "c.test"} {
			w.fill(100, site)
		}
		time.Sleep(2 * time.Hour)
		stop()
		w.open(g)
		g.open.Store(true)
		w.run()
		time.Sleep(time.Second)
		if took := g.took.Load(); took != 100 {
			t.Errorf("%d messages have gone at the start, want the 100 of one site", took)
		}
		if d, ok := w.q.Down("c.test"); !ok || !strings.Contains(d.Reply, "timed out") || !d.Until.After(time.Now().Add(probeLongest/2)) {
			t.Errorf("down: %+v, %v", d, ok)
		}
		w.insert(w.message("new@c.test"))
		time.Sleep(time.Second)
		if took := g.took.Load(); took != 201 {
			t.Errorf("%d messages have gone, want 201: the new one and what waits with it", took)
		}
		time.Sleep(probeLongest)
		if took := g.took.Load(); took != 301 {
			t.Errorf("%d messages have gone within the longest wait, want 301", took)
		}
	})
}

// TestAClockSetBackKeepsNobodyDown: what is known of a site that is down is of a later time
// then, and holds for the longest wait at most.
func TestAClockSetBackKeepsNobodyDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const step = 6 * time.Hour
		g := &gate{}
		w := newBubble(t, g, func(s *Settings) { s.Retry, s.Lifetime = []time.Duration{8 * time.Hour}, 48*time.Hour })
		w.run()
		w.fill(100, "far.test")
		time.Sleep(time.Hour)
		w.q.mu.Lock()
		d := w.q.sites["far.test"].down
		for _, at := range []*int64{&d.since, &d.until, &d.asked, &d.finding.Started, &d.finding.Ended} {
			*at += step.Microseconds()
		}
		w.q.mu.Unlock()
		w.exec("UPDATE queue_recipient SET received = received + ?, next = next + ?", step.Microseconds(), step.Microseconds())
		before := g.tries.Load()
		time.Sleep(2 * time.Hour)
		if tries := g.tries.Load() - before; tries < 6 || tries > 9 {
			t.Errorf("%d connections in two hours", tries)
		}
		g.open.Store(true)
		w.insert(w.message("new@far.test"))
		time.Sleep(probeLongest + time.Minute)
		if took := g.took.Load(); took != 101 {
			t.Errorf("%d of 101 messages have gone", took)
		}
	})
}

// TestRetryAsksNow: who retries by hand does not wait for the next probe.
func TestRetryAsksNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		w := newBubble(t, g)
		w.run()
		w.fill(100, "far.test")
		time.Sleep(2 * time.Hour)
		g.open.Store(true)
		list, err := w.q.List(t.Context(), Filter{Domain: "far.test", Limit: 1})
		w.must(err)
		if n, err := w.q.Retry(t.Context(), Filter{IDs: []mail.ID{list[0].ID}}); n.All() != 1 || err != nil {
			t.Fatalf("%d retried, %v", n, err)
		}
		time.Sleep(10 * time.Second)
		if took := g.took.Load(); took != 100 {
			t.Errorf("%d messages have gone", took)
		}
	})
}

// TestADeletedProbe: a site without messages is not down for ever.
func TestADeletedProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		w := newBubble(t, g)
		w.run()
		w.fill(100, "far.test")
		time.Sleep(time.Second)
		if _, err := w.q.Delete(t.Context(), Filter{All: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(probeLongest)
		w.q.mu.Lock()
		defer w.q.mu.Unlock()
		if len(w.q.sites) != 0 || w.q.octets != 0 {
			t.Errorf("%d sites and %d octets are left", len(w.q.sites), w.q.octets)
		}
	})
}

// TestAProbeWithoutAWorker: while all workers are at other sites, the scheduler
// does not ask again and again for the message that tries a site which is down.
func TestAProbeWithoutAWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		w := newBubble(t, lengthy{g}, func(s *Settings) { s.Concurrency = 1 })
		var slept atomic.Int64
		w.q.o.Sleep = func(ctx context.Context, wake <-chan struct{}, d time.Duration) {
			if slept.Add(1) > 1000 {
				d = time.Minute // so that the test ends
			}
			sleep(ctx, wake, d)
		}
		w.run()
		w.insert(w.message("a@far.test"))
		time.Sleep(time.Second)
		w.insert(w.message("a@near.test"))
		time.Sleep(2 * time.Hour)
		if n := slept.Load(); n > 300 {
			t.Errorf("the scheduler woke up %d times in two hours", n)
		}
	})
}

// lengthy is a Deliverer that takes an hour for a message to near.test.
type lengthy struct{ *gate }

func (s lengthy) Deliver(ctx context.Context, site string, next func() *Job, done func(*Job, []Outcome)) {
	if site != "near.test" {
		s.gate.Deliver(ctx, site, next, done)
		return
	}
	for job := next(); job != nil; job = next() {
		<-time.After(time.Hour)
		done(job, all(job, delivered))
	}
}

// choosy is a Deliverer for a host that lets in what one account sends, as those do that
// know the address from which its mail comes.
type choosy struct {
	lets mail.ID
	took atomic.Int64
}

func (c *choosy) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	for job := next(); job != nil; job = next() {
		o := Outcome{Result: TryLater, Ours: true, Unreached: true, Code: 451, Enhanced: "4.4.1", Reply: "connection reset", Started: micros(), Ended: micros()}
		if job.Message.Account == c.lets {
			c.took.Add(1)
			o = Outcome{Result: Delivered, Code: 250, Started: micros(), Ended: micros()}
		}
		done(job, all(job, o))
	}
}

// TestEachFlowProbes: what comes from an address that a site does not let in keeps back
// nothing that comes from another one.
func TestEachFlowProbes(t *testing.T) {
	t.Parallel()
	for lets := mail.ID(1); lets <= 3; lets++ {
		synctest.Test(t, func(t *testing.T) {
			c := &choosy{lets: lets}
			w := newBubble(t, c)
			w.run()
			send := func(account mail.ID) {
				m := w.message("a@far.test")
				m.Account = account
				w.insert(m)
			}
			for range 5 {
				for account := mail.ID(1); account <= 3; account++ {
					send(account)
				}
				time.Sleep(time.Second)
			}
			time.Sleep(time.Hour)
			if n := c.took.Load(); n != 5 {
				t.Errorf("account %d: %d of 5 messages have gone", lets, n)
			}
			send(lets)
			time.Sleep(time.Hour)
			if n := c.took.Load(); n != 6 {
				t.Errorf("account %d: one that came later has not gone", lets)
			}
		})
	}
}

// TestARestartTakesOverSoMany: who has mail for very many sites that cannot be reached does
// not wait for all of them at the start.
func TestARestartTakesOverSoMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, &gate{})
	w.fill(maxTakenOver+100, "far.test")
	err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE queue_recipient SET site = 'far' || id, state = 3, ours = 1, enhanced = '4.4.1', next = ?"), micros()+time.Hour.Microseconds())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.q.takeOver(t.Context()); err != nil || len(w.q.sites) != maxTakenOver {
		t.Errorf("%d sites, %v", len(w.q.sites), err)
	}
}

// TestSoManyAreDown: of very many sites that cannot be reached, for each of which there is
// one message, only some are remembered; where more is waiting, more are.
func TestSoManyAreDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		downs, ready int
		more, known  bool
	}{
		{0, 0, false, true},
		{maxDown/4 - 1, 0, false, true},
		{maxDown / 4, 0, false, false},
		{maxDown / 4, 1, false, true},
		{maxDown / 4, 0, true, true},
		{maxDown - 1, 1, true, true},
		{maxDown, 1, true, false},
	} {
		w := newWorld(t, &gate{})
		s := w.q.siteOf("far.test")
		s.more, w.q.downs = c.more, c.downs
		for range c.ready {
			s.ready.add(&lease{job: Job{Message: w.message("a@far.test")}})
		}
		one := &worker{q: w.q, s: s, p: w.q.providerOf("far.test")}
		one.missed(Outcome{Result: TryLater, Ours: true, Unreached: true, Code: 451, Enhanced: "4.4.1"})
		if known := s.down != nil; known != c.known || w.q.downs-c.downs != map[bool]int{true: 1}[known] {
			t.Errorf("%+v: known %v, now %d", c, known, w.q.downs)
		}
		if w.q.probes(micros()); w.q.downs != map[bool]int{true: 1}[c.known] {
			t.Errorf("%+v: counted %d", c, w.q.downs)
		}
	}
}

// counted is a database that counts the writes.
type counted struct {
	db.DB
	writes atomic.Int64
}

func (c *counted) Write(ctx context.Context, fn func(*db.Tx) error) error {
	c.writes.Add(1)
	return c.DB.Write(ctx, fn)
}

// TestProbesAreClaimedTogether: the messages that try very many sites are not claimed one by
// one, with all other mail behind them.
func TestProbesAreClaimedTogether(t *testing.T) {
	t.Parallel()
	const all = 2*slice + 100
	w := newWorld(t, &gate{})
	w.fill(all, "far.test")
	err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL("UPDATE queue_recipient SET site = 'far' || id, state = 3, ours = 1, enhanced = '4.4.1', next = ?"), micros()+time.Hour.Microseconds())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.q.takeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.q.mu.Lock()
	for name := range w.q.sites {
		w.q.askNow(name)
	}
	w.q.mu.Unlock()
	c := &counted{DB: w.db}
	w.q.o.DB = c
	if err := w.q.probeAll(t.Context(), micros()); err != nil {
		t.Fatal(err)
	}
	if n, leased := c.writes.Load(), w.stats()[Leased]; n != 3 || leased != all {
		t.Errorf("%d leased in %d writes, want %d in 3", leased, n, all)
	}
}
