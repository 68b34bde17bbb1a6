package queue

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	one, two, null := w.message("a@x.test", "b@y.test"), w.message("c@x.test"), w.message("d@z.test")
	two.From = w.address("Other@b\u00fccher.test")
	null.From = mail.Address{}
	w.insert(one, two, null)
	for _, c := range []struct {
		name string
		f    Filter
		want int
	}{
		{"all", Filter{All: true}, 4},
		{"a message", Filter{IDs: []mail.ID{one.ID}}, 2},
		{"a recipient", Filter{IDs: []mail.ID{one.Recipients[1].ID}}, 1},
		{"both, none twice", Filter{IDs: []mail.ID{one.ID, one.Recipients[1].ID, two.ID}}, 3},
		{"an unknown id", Filter{IDs: []mail.ID{12345}}, 0},
		{"a domain", Filter{Domain: "X.TEST"}, 2},
		{"a sender", Filter{Sender: "<other@B\u00dcCHER.test>"}, 1},
		{"the null sender", Filter{Sender: "<>"}, 1},
		{"a state", Filter{State: Queued}, 4},
		{"another state", Filter{State: Held}, 0},
		{"both conditions", Filter{IDs: []mail.ID{one.ID}, Domain: "x.test"}, 1},
		{"a limit", Filter{All: true, Limit: 3}, 3},
	} {
		list, err := w.q.List(t.Context(), c.f)
		n := 0
		for _, m := range list {
			n += len(m.Recipients)
		}
		if err != nil || n != c.want {
			t.Errorf("%s: %d recipients, %v", c.name, n, err)
		}
	}
	if _, err := w.q.Delete(t.Context(), Filter{Limit: 5}); !errors.Is(err, ErrNoFilter) {
		t.Errorf("a filter that says nothing: %v", err)
	}
	if _, err := w.q.Show(t.Context(), 12345); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown message: %v", err)
	}
	if n, err := w.q.Delete(t.Context(), Filter{All: true, Limit: 1}); n.All() != 1 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	if n, err := w.q.Delete(t.Context(), Filter{All: true}); n.All() != 3 || err != nil || !w.empty() {
		t.Errorf("deleted %d, %v", n, err)
	}
	if w.obs.count("deleted gone") != 4 {
		t.Errorf("events %v", w.obs.seen())
	}
}

// TestFilterByWhatHappened: by host, reply, tag and age, and a dry run that tells what
// the same verb then does.
func TestFilterByWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		o := Outcome{Result: TryLater, Code: 451, Enhanced: "4.2.2", Host: "mx1.x.test", Reply: `Over 100% of your _Quota_ (C:\mail)`}
		if job.Recipients[0].Address.Local == "b" {
			o.Host, o.Enhanced, o.Reply = "mx2.x.test", "", "Over 1000\nof your quotas"
		}
		return all(job, o)
	}))
	w.run()
	a, b := w.message("a@x.test"), w.message("b@x.test")
	a.Tags, b.Tags = []string{"july", "news"}, []string{"news%", "late_july"}
	a.Received -= time.Hour.Microseconds()
	w.insert(a, b)
	w.eventually("the results", func() bool { return w.stats()[Deferred] == 2 })
	for _, c := range []struct {
		name string
		f    Filter
		want int
	}{
		{"a host", Filter{Host: "MX1.x.test"}, 1},
		{"a part of a host", Filter{Host: "x.test"}, 0},
		{"a part of the reply", Filter{Reply: "of YOUR"}, 2},
		{"the line of the reply", Filter{Reply: "451 4.2.2 Over 100%"}, 1},
		{"the line of a reply of several", Filter{Reply: "451 over 1000 of"}, 1},
		{"the code of the reply", Filter{Reply: "451"}, 2},
		{"the enhanced code of the reply", Filter{Reply: "4.2.2"}, 1},
		{"the reply and ids", Filter{IDs: []mail.ID{a.ID, b.ID}, Reply: "4.2.2"}, 1},
		{"the codes, without the words", Filter{Reply: "451 4.2.1"}, 0},
		{"a letter that means many", Filter{Reply: "100%"}, 1},
		{"a letter that means any", Filter{Reply: "_quota_"}, 1},
		{"a backslash", Filter{Reply: `C:\m`}, 1},
		{"the first tag", Filter{Tag: "july"}, 1},
		{"the last tag", Filter{Tag: "news"}, 1},
		{"a tag with a letter that means many", Filter{Tag: "news%"}, 1},
		{"a part of a tag", Filter{Tag: "jul"}, 0},
		{"an age", Filter{Before: b.Received - time.Minute.Microseconds()}, 1},
		{"two of them", Filter{Host: "mx1.x.test", Tag: "late_july"}, 0},
		{"what is known of the last attempt", Filter{Last: func(r *Recipient) bool {
			return *r == Recipient{Code: 451, Host: "mx2.x.test", Reply: "Over 1000\nof your quotas"}
		}}, 1},
		{"that and a host", Filter{Host: "mx1.x.test", Last: func(r *Recipient) bool { return r.Host == "mx2.x.test" }}, 0},
		{"that and ids", Filter{IDs: []mail.ID{a.ID, b.ID}, Last: func(r *Recipient) bool { return r.Host == "mx1.x.test" }}, 1},
	} {
		c.f.DryRun = true
		n, err := w.q.Hold(t.Context(), c.f)
		if err != nil || n.All() != c.want || w.stats()[Held] != 0 {
			t.Errorf("%s: %d recipients, %v; states %v", c.name, n, err, w.stats())
		}
	}
	if n, err := w.q.Release(t.Context(), Filter{All: true, DryRun: true}); n.All() != 0 || err != nil {
		t.Errorf("a dry run of what has nothing to do: %d, %v", n, err)
	}
	if n, err := w.q.Hold(t.Context(), Filter{Tag: "july"}); n.All() != 1 || err != nil || w.stats()[Held] != 1 {
		t.Errorf("held %d, %v; states %v", n, err, w.stats())
	}
}

// TestFilterByWhoseItIs: by the provider that takes the mail of the domain, tried or
// not, and by whom the message belongs to.
func TestFilterByWhoseItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(s *Settings) { s.Hold = true })
	var asked atomic.Int32
	w.q.o.Provider = func(_ context.Context, site string) string {
		asked.Add(1)
		return map[string]string{"x.test": "big.test", "y.test": "Big.test"}[site]
	}
	w.q.known["known.test"] = known{"big.test", 0}
	a, b := w.message("a@x.test", "a@alone.test"), w.message("b@y.test", "b@known.test", "c@y.test")
	a.Account, a.Stream, b.Tenant = 7, "bulk", 9
	w.insert(a, b)
	for _, c := range []struct {
		name string
		f    Filter
		want int
	}{
		{"a provider", Filter{Provider: "big.TEST"}, 4},
		{"a site that nobody tells of", Filter{Provider: "alone.test"}, 1},
		{"a site with a provider", Filter{Provider: "x.test"}, 0},
		{"a provider and ids", Filter{Provider: "big.test", IDs: []mail.ID{a.ID}}, 1},
		{"a provider and a class", Filter{Provider: "big.test", Last: func(*Recipient) bool { return false }}, 0},
		{"a tenant", Filter{Tenant: 9}, 3},
		{"a stream", Filter{Stream: "bulk"}, 2},
		{"an account", Filter{Account: 7}, 2},
		{"two of them", Filter{Account: 7, Tenant: 9}, 0},
	} {
		c.f.DryRun = true
		if n, err := w.q.Bounce(t.Context(), c.f); n.All() != c.want || err != nil {
			t.Errorf("%s: %d recipients, %v, want %d", c.name, n, err, c.want)
		}
		n := 0
		err := w.q.Each(t.Context(), c.f, func(m *Message) error {
			n += len(m.Recipients)
			return nil
		})
		if n != c.want || err != nil {
			t.Errorf("each of %s: %d recipients, %v, want %d", c.name, n, err, c.want)
		}
	}
	if n := asked.Load(); n != 5*2*3 {
		t.Errorf("asked %d times for three sites", n)
	}
}

func TestWishesForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	under, goOn := make(chan struct{}, 1), make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		under <- struct{}{}
		<-goOn
		out := all(job, Outcome{Result: TryLater, Code: 451, Reply: "later"})
		if job.Recipients[0].Address.Local == "taken" {
			out = all(job, delivered)
		}
		return out
	}), func(s *Settings) { s.PerSite = 1 })
	w.run()
	names := []string{"held", "bounced", "deleted", "taken", "free"}
	byName := map[string]mail.ID{}
	list := []*Message{w.message("first@x.test")}
	for _, n := range names {
		m := w.message(n + "@x.test")
		byName[n] = m.ID
		list = append(list, m)
	}
	both := w.message("first@y.test")
	w.insert(append(list, both)...)
	<-under
	<-under // first@x.test and first@y.test; the others wait in memory
	do := func(verb func(context.Context, Filter) (Touched, error), ids ...mail.ID) {
		t.Helper()
		if n, err := verb(t.Context(), Filter{IDs: ids}); n.All() != 1 || err != nil {
			t.Errorf("touched %d, %v", n, err)
		}
	}
	do(w.q.Hold, byName["held"])
	do(w.q.Bounce, byName["bounced"])
	do(w.q.Delete, byName["deleted"])
	do(w.q.Delete, both.ID)
	do(w.q.Hold, byName["free"])
	do(w.q.Release, byName["free"])
	close(goOn)
	w.eventually("all results", func() bool { return w.stats()[Leased] == 0 && len(w.obs.seen()) >= 7 })
	for _, line := range []string{"held@x.test held held", "bounced@x.test failed failed", "deleted@x.test deleted gone",
		"taken@x.test delivered gone", "first@x.test deferred deferred", "first@y.test deleted gone"} {
		if w.obs.count(line) != 1 {
			t.Errorf("no event %q in %v", line, w.obs.seen())
		}
	}
	for _, line := range []string{"held@x.test deferred", "bounced@x.test deferred", "deleted@x.test deferred"} {
		if w.obs.count(line) != 0 {
			t.Errorf("it was tried all the same: %q", line)
		}
	}
	if s := w.stats(); s[Held] != 1 || s[Failed] != 1 || s[Queued] != 1 || s[Deferred] != 1 {
		t.Errorf("states %v", s)
	}
}

func TestRetryNow(t *testing.T) {
	t.Parallel()
	calls := make(chan struct{}, 10)
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		calls <- struct{}{}
		return all(job, Outcome{Result: TryLater, Code: 451})
	}))
	w.run()
	w.insert(w.message("a@x.test"))
	<-calls
	w.eventually("the result", func() bool { return w.stats()[Deferred] == 1 })
	if n, err := w.q.Retry(t.Context(), Filter{Domain: "x.test"}); n.All() != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	<-calls
	w.eventually("the result", func() bool { return w.obs.count("deferred deferred") == 2 })
}

// onVerb is an observer that does something when it hears of a verb.
type onVerb struct {
	*observer
	do func()
}

func (o onVerb) Administered(tx *db.Tx, kind string, reports []Report) error {
	o.do()
	return o.observer.Administered(tx, kind, reports)
}

// TestVerbEndsWithTheServer: a verb on many ends between two of its parts when the server
// stops, and tells what those before came to.
func TestVerbEndsWithTheServer(t *testing.T) {
	t.Parallel()
	const all = 2*slice + 1
	for name, verb := range map[string]func(*Queue, context.Context) (Touched, error){
		"delete": func(q *Queue, ctx context.Context) (Touched, error) { return q.Delete(ctx, Filter{All: true}) },
		"reroute": func(q *Queue, ctx context.Context) (Touched, error) {
			return q.Reroute(ctx, Filter{All: true}, "route:a")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, func(s *Settings) { s.Hold = true })
			ctx, cancel := context.WithCancel(t.Context())
			w.q.o.Observer = onVerb{w.obs, cancel}
			ended := make(chan error, 1)
			go func() { ended <- w.q.Run(ctx) }()
			w.eventually("the queue to run", w.running)
			var to []string
			for i := range all {
				to = append(to, fmt.Sprintf("u%d@x.test", i))
			}
			w.insert(w.message(to...))
			n, err := verb(w.q, context.WithoutCancel(ctx))
			if !errors.Is(err, errStops) || n.Moved != slice {
				t.Errorf("%+v, %v; want %d and then the stop", n, err, slice)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if n, err := verb(w.q, context.WithoutCancel(ctx)); n.Moved != slice {
				t.Errorf("again %+v, %v: the next part is to be what was not reached", n, err)
			}
		})
	}
}
