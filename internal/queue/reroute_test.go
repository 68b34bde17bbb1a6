package queue

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
)

// sites are where all that is in the queue goes, a word for each: "a@x.test=route:r".
func (w *world) sites() string {
	w.t.Helper()
	list, err := w.q.List(w.t.Context(), Filter{All: true})
	w.must(err)
	var out []string
	for _, m := range list {
		for _, r := range m.Recipients {
			out = append(out, r.Address.String()+"="+r.Site+" "+r.State.String())
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// TestReroute: what was chosen and nothing else has the other way; what is on hold stays
// so, what is deferred is due, and what is at home here or over goes nowhere.
func TestReroute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	list := []*Message{w.message("a@x.test", "b@y.test"), w.message("held@x.test"), w.message("later@x.test"), w.message("home@x.test"), w.message("over@x.test")}
	list[3].Recipients[0].Site = SiteLocal
	w.insert(list...)
	_, err := w.q.Hold(t.Context(), Filter{IDs: []mail.ID{list[1].ID}})
	w.must(err)
	_, err = w.q.Bounce(t.Context(), Filter{IDs: []mail.ID{list[4].ID}})
	w.must(err)
	w.exec("UPDATE queue_recipient SET state = 3, next = ? WHERE message = ?", int64(1)<<50, int64(list[2].ID))
	before := w.sites()
	try := func(f Filter, site string, want Touched, sites string) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			f.DryRun = dry
			events := len(w.obs.seen())
			if got, err := w.q.Reroute(t.Context(), f, site); got != want || err != nil {
				t.Errorf("dry run %v: %+v, %v, want %+v", dry, got, err, want)
			}
			if got := w.sites(); dry && got != before || !dry && got != sites {
				t.Errorf("dry run %v: %s\nwant %s", dry, got, sites)
			}
			if got := len(w.obs.seen()) - events; dry && got != 0 || !dry && got != want.Moved {
				t.Errorf("dry run %v: %d events", dry, got)
			}
		}
		before = sites
	}
	try(Filter{Domain: "x.test"}, "route:r", Touched{Moved: 3},
		"a@x.test=route:r queued, b@y.test=y.test queued, held@x.test=route:r held, home@x.test=local queued, later@x.test=route:r queued, over@x.test=x.test failed")
	try(Filter{Domain: "x.test"}, "route:r", Touched{}, before)
	try(Filter{Site: "route:r", Limit: 1}, "", Touched{Moved: 1},
		"a@x.test=x.test queued, b@y.test=y.test queued, held@x.test=route:r held, home@x.test=local queued, later@x.test=route:r queued, over@x.test=x.test failed")
	if n, err := w.q.Bound(t.Context(), "route:r"); n != 2 || err != nil {
		t.Errorf("bound for the route: %d, %v", n, err)
	}
	var waits int
	for _, r := range w.rowsDue() {
		if r == "later@x.test" {
			waits++
		}
	}
	if waits != 1 {
		t.Errorf("due: %v", w.rowsDue())
	}
	if w.obs.count("a@x.test rerouted queued") != 2 || w.obs.count("held@x.test rerouted held") != 1 {
		t.Errorf("events %v", w.obs.seen())
	}
	if _, err := w.q.Reroute(t.Context(), Filter{}, "route:r"); err == nil {
		t.Error("a filter that says nothing was taken")
	}
}

// rowsDue are the addresses of what is due now.
func (w *world) rowsDue() (out []string) {
	w.t.Helper()
	list, err := w.q.List(w.t.Context(), Filter{All: true})
	w.must(err)
	for _, m := range list {
		for _, r := range m.Recipients {
			if r.State == Queued && r.Next <= micros() {
				out = append(out, r.Address.String())
			}
		}
	}
	return out
}

// TestRerouteOfWhatIsUnderWay: it is tried where it is, and counted; afterwards it goes
// its other way. What moved is delivered there, by the next process too.
func TestRerouteOfWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	under, goOn := make(chan struct{}, 1), make(chan struct{})
	deliverer := deliver(func(_ context.Context, site string, job *Job) []Outcome {
		if site == "x.test" {
			under <- struct{}{}
			<-goOn
			return all(job, Outcome{Result: TryLater, Code: 451, Reply: "later"})
		}
		return all(job, Outcome{Result: Delivered, Code: 250, Host: site})
	})
	w := newWorld(t, deliverer)
	stop := w.run()
	end := sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(end)
	w.insert(w.message("a@x.test"))
	<-under
	if got, err := w.q.Reroute(t.Context(), Filter{All: true}, "route:r"); got != (Touched{UnderWay: 1}) || err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if got := w.sites(); got != "a@x.test=x.test leased" {
		t.Errorf("%s", got)
	}
	end()
	w.eventually("the result", func() bool { return w.stats()[Deferred] == 1 })
	stop()
	if got, err := w.q.Reroute(t.Context(), Filter{All: true}, "route:r"); got != (Touched{Moved: 1}) || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	w.open(deliverer)
	w.run()
	w.eventually("the delivery", w.empty)
	if w.obs.count("a@x.test delivered gone") != 1 {
		t.Errorf("events %v", w.obs.seen())
	}
}
