package queue

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
)

// gated is an engine whose writes wait for a gate while there is one, and fail if it
// opens with an error.
type gated struct {
	db.DB
	gate atomic.Pointer[chan error]
}

func (g *gated) Write(ctx context.Context, fn func(*db.Tx) error) error {
	if gate := g.gate.Load(); gate != nil {
		if err := <-*gate; err != nil {
			return err
		}
	}
	return g.DB.Write(ctx, fn)
}

// shut makes the writes wait from now on; the function that it returns lets them through.
func (g *gated) shut() (open func()) {
	gate := make(chan error)
	g.gate.Store(&gate)
	return func() {
		g.gate.Store(nil)
		close(gate)
	}
}

// paced delivers all, each message in a time, and counts those that it began and the
// workers that did so.
type paced struct {
	each           time.Duration
	begun, workers atomic.Int64
}

func (p *paced) Deliver(ctx context.Context, site string, next func() *Job, done func(*Job, []Outcome)) {
	p.workers.Add(1)
	deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		p.begun.Add(1)
		<-time.After(p.each)
		return all(job, delivered)
	}).Deliver(ctx, site, next, done)
}

// TestNothingNewWithoutRecords: while the database does not record what was delivered,
// nothing more is handed out than would go in a second, nor much more than one commit
// holds, and what waits says why. All goes on at once, each message once, when it does.
func TestNothingNewWithoutRecords(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		each     time.Duration
		messages int
		most     int64
		why      string // what waits, after a moment
	}{
		"by time":   {100 * time.Millisecond, 300, 5*11 + 5, ""},
		"by both":   {5 * time.Millisecond, 600, 5 * (200/5 + 1), "the results of 2"},
		"by number": {time.Microsecond, 1500, maxUnrecorded + 5, "the results of 5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &paced{each: c.each}
				w := newBubble(t, p)
				g := &gated{DB: w.db}
				w.db = g
				w.open(p)
				var list []*Message
				for range c.messages {
					list = append(list, w.message("a@x.test"))
				}
				stop := w.run()
				synctest.Wait()
				w.insert(list...)
				open := g.shut()
				time.Sleep(300 * time.Millisecond)
				if why := w.q.Full(list[0]); !strings.Contains(why, c.why) {
					t.Errorf("after a moment what waits says %q; want %q", why, c.why)
				}
				time.Sleep(20 * time.Second)
				if n := p.begun.Load(); n > c.most {
					t.Errorf("%d of %d messages went out while nothing was recorded; want at most %d", n, c.messages, c.most)
				}
				if why := w.q.Full(list[0]); !strings.Contains(why, "has not answered for 20s") {
					t.Errorf("what waits says %q; want the time", why)
				}
				open()
				time.Sleep(time.Duration(c.messages) * c.each / 5)
				synctest.Wait()
				if n := p.begun.Load(); n != int64(c.messages) || w.rows("queue_recipient") > 0 {
					t.Errorf("%d of %d messages were handed out, %d recipients are left", n, c.messages, w.rows("queue_recipient"))
				}
				stop()
			})
		})
	}
}

// TestShortCommitKeepsWorkers: a commit that takes a little too long costs no connection.
func TestShortCommitKeepsWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paced{each: 100 * time.Millisecond}
		w := newBubble(t, p, func(s *Settings) { s.PerSite = 1 })
		g := &gated{DB: w.db}
		w.db = g
		w.open(p)
		stop := w.run()
		var list []*Message
		for range 30 {
			list = append(list, w.message("a@x.test"))
		}
		w.insert(list...)
		open := g.shut()
		time.Sleep(maxCommit + patience/2)
		open()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n, workers := p.begun.Load(), p.workers.Load(); n != 30 || workers != 1 {
			t.Errorf("%d of 30 messages by %d workers; want all by one", n, workers)
		}
		stop()
	})
}

// TestTakenOver: a process that was cut off, or stopped, and whose database another has
// taken meanwhile, hands out nothing of what it has in memory.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paced{each: time.Minute} // in which nothing is recorded
		w := newBubble(t, p, func(s *Settings) { s.PerSite = 2 })
		g := &gated{DB: w.db}
		w.db = g
		w.open(p)
		stop := w.run()
		list := []*Message{w.message("a@x.test"), w.message("b@x.test"), w.message("c@x.test"), w.message("d@x.test")}
		w.insert(list...)
		synctest.Wait()
		answer := make(chan error)
		g.gate.Store(&answer)
		time.Sleep(p.each + maxCommit/2)
		if n := p.begun.Load(); n != 2 {
			t.Errorf("%d messages were handed out before the database was heard of; want 2", n)
		}
		close(answer)
		g.gate.Store(nil)
		stop()
	})
}

// TestSlowDeliveriesGoOn: where attempts take longer than the database may be silent, a
// worker keeps its connection and loses no time; jobs that waited for a place at their
// provider are confirmed by one small transaction.
func TestSlowDeliveriesGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &paced{each: 2 * maxSilence}
		w := newBubble(t, p, func(s *Settings) { s.PerSite = 1 })
		stop := w.run()
		w.insert(w.message("a@x.test"), w.message("b@x.test"), w.message("c@x.test"))
		time.Sleep(3*p.each + time.Millisecond)
		synctest.Wait()
		if n, workers := p.begun.Load(), p.workers.Load(); n != 3 || workers != 1 || !w.empty() {
			t.Errorf("%d of 3 messages by %d workers; want all by one", n, workers)
		}
		stop()
	})
}

// TestConfirmed: what rests in memory for the rate of its provider goes out after that if
// the database, where nothing else is to be committed, says that it is still this
// process's.
func TestConfirmed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer error
		begun  int64
	}{
		"still ours": {nil, 2},
		"taken over": {db.ErrInUse, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &paced{}
				w := newBubble(t, p)
				f := &failing{DB: w.db}
				w.db = f
				w.open(p)
				w.q.o.Limits = func(string) Limits { return Limits{Rate: 1, Per: maxSilence + time.Second} }
				stop := w.run()
				w.insert(w.message("a@x.test"), w.message("b@x.test"))
				time.Sleep(time.Second)
				f.set(c.answer)
				time.Sleep(maxSilence + time.Millisecond)
				synctest.Wait()
				if n := p.begun.Load(); n != c.begun {
					t.Errorf("%d messages were handed out, want %d", n, c.begun)
				}
				f.set(nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := p.begun.Load(); n != 2 || !w.empty() {
					t.Errorf("%d messages were handed out in the end, want both", n)
				}
				stop()
			})
		})
	}
}

// TestLostResultsAreTold: a server that ends while the database takes nothing says of all
// results that are lost by that, how many were delivered, and names some messages.
func TestLostResultsAreTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		messages int
		want     string
	}{
		"few":  {2, ` recipients=4 delivered=2 messages_delivered="FIRST LAST"`},
		"many": {2 * maxResults, fmt.Sprintf(` recipients=%d delivered=%d messages_delivered="FIRST `, 4*maxResults, 2*maxResults)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			f := &failing{DB: w.db}
			w.db = f
			var log bytes.Buffer
			w.open(nil)
			w.q.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			f.set(db.ErrUnavailable)
			var ids []string
			w.q.mu.Lock()
			for range c.messages {
				m := w.message("a@x.test", "b@x.test")
				ids = append(ids, m.ID.String())
				l := &lease{job: Job{Message: m}, site: "x.test"}
				w.q.collect(&item{lease: l, r: m.Recipients[0], outcome: delivered})
				w.q.collect(&item{lease: l, r: m.Recipients[1], outcome: Outcome{Result: TryLater}})
			}
			w.q.mu.Unlock()
			ended := make(chan struct{})
			close(ended)
			w.q.stopping = true
			w.q.collector(t.Context(), ended)
			want := strings.NewReplacer("FIRST", ids[0], "LAST", ids[len(ids)-1]).Replace(c.want)
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s\nwant%s", log.String(), want)
			}
			if more := fmt.Sprintf(" and %d more", c.messages-maxTold); c.messages > maxTold && !strings.Contains(log.String(), more) {
				t.Errorf("%s\nwant%s", log.String(), more)
			}
		})
	}
}
