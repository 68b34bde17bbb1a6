package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// urgent is a message of a priority.
func (w *world) urgent(p mail.Priority, addresses ...string) *Message {
	m := w.message(addresses...)
	m.Priority = p
	return m
}

// TestPriorityGoesFirst: whatever stands before it, in memory or in the database,
// and within one level first come, first served (RFC 6710 §5.1).
func TestPriorityGoesFirst(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	begin := make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
		<-begin
		mu.Lock()
		order = append(order, job.Recipients[0].Address.Local)
		mu.Unlock()
		return all(job, delivered)
	}), func(s *Settings) { s.PerSite = 1 })
	backlog := 3 * siteRows
	var many []*Message
	for i := range backlog {
		many = append(many, w.urgent(-9, fmt.Sprintf("low%d@x.test", i)))
	}
	w.insert(many...) // they wait in the database
	w.insert(w.urgent(0, "normal@x.test"), w.urgent(9, "early@x.test"))
	w.run()
	w.eventually("a full site", func() bool { return w.stats()[Leased] >= siteRows })
	w.insert(w.urgent(-4, "last@x.test"), w.urgent(-3, "second@x.test"), w.urgent(1, "urgent1@x.test"), w.urgent(4, "urgent2@x.test"))
	close(begin)
	w.eventually("an empty queue", w.empty)
	mu.Lock()
	defer mu.Unlock()
	at := func(name string) int { return slices.Index(order, name) }
	// One or two were taken before the urgent ones came.
	if at("early") > 1 || at("urgent1") > 3 || at("urgent2") != at("urgent1")+1 {
		t.Errorf("urgent at %d, %d, %d", at("early"), at("urgent1"), at("urgent2"))
	}
	if at("normal") > backlog/2 || at("second") > backlog {
		t.Errorf("normal at %d and %d of %d", at("normal"), at("second"), backlog)
	}
	if order[len(order)-1] != "last" || !slices.IsSorted(numbers(order)) {
		t.Error("within a level they changed places, or the last one was not last")
	}
}

// numbers are those of the low ones, which were numbered as they came.
func numbers(order []string) (out []int) {
	for _, s := range order {
		var n int
		if _, err := fmt.Sscanf(s, "low%d", &n); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// TestAnUrgentSiteIsServedFirst: where all workers are busy, it gets the next one.
func TestAnUrgentSiteIsServedFirst(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	begin := make(chan struct{})
	w := newWorld(t, deliver(func(_ context.Context, site string, job *Job) []Outcome {
		<-begin
		mu.Lock()
		order = append(order, site)
		mu.Unlock()
		return all(job, delivered)
	}), func(s *Settings) { s.Concurrency = 1 })
	w.run()
	for i := range 20 {
		w.insert(w.message(fmt.Sprintf("a@d%d.test", i)))
	}
	w.insert(w.urgent(4, "a@urgent.test"))
	close(begin)
	w.eventually("an empty queue", w.empty)
	if at := slices.Index(order, "urgent.test"); at != 1 {
		t.Errorf("served as number %d: %v", at, order)
	}
}

// TestDeliverByReturn: at its time the message goes back, without another attempt
// (RFC 2852 §4.1.3).
func TestDeliverByReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var tried []time.Duration
		w := newBubble(t, deliver(func(_ context.Context, _ string, job *Job) []Outcome {
			tried = append(tried, time.Since(start).Truncate(time.Minute))
			return all(job, Outcome{Result: TryLater, Code: 451, Reply: "not now", Host: "mx.test"})
		}))
		stop := w.run()
		m := w.message("a@x.test")
		m.By = mail.DeliverBy{At: mail.Micros(start.Add(8 * time.Minute)), Return: true}
		w.insert(m)
		<-w.q.FailedWake()
		if want := []time.Duration{0, 5 * time.Minute}; !slices.Equal(tried, want) || time.Since(start).Round(time.Second) != 8*time.Minute {
			t.Errorf("tried at %v, gave up after %v", tried, time.Since(start))
		}
		failed, err := w.q.Failed(t.Context(), 0, 10)
		w.must(err)
		if len(failed) != 1 || !failed[0].Recipients[0].Expired || failed[0].Recipients[0].Enhanced != "4.4.7" || failed[0].By != m.By {
			t.Errorf("failed %+v", failed)
		}
		stop()
	})
}

// TestDeliverByNotify: its sender hears of it at that time, once, and the message
// goes on.
func TestDeliverByNotify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, always(Outcome{Result: TryLater, Code: 451}))
		stop := w.run()
		m := w.message("a@x.test")
		m.By = mail.DeliverBy{At: mail.Micros(time.Now().Add(6 * time.Hour)), Trace: true}
		w.insert(m)
		told := func() int {
			late, err := w.q.Delayed(t.Context(), 10)
			w.must(err)
			for _, m := range late {
				w.must(w.db.Write(t.Context(), func(tx *db.Tx) error { return w.q.MarkDelayed(tx, []mail.ID{m.Recipients[0].ID}) }))
			}
			return len(late)
		}
		var got []int
		for _, wait := range []time.Duration{3 * time.Hour, 2 * time.Hour, 2 * time.Hour, time.Hour} {
			<-time.After(wait)
			got = append(got, told())
		}
		// The ordinary notice is due after four hours, this one after six.
		if !slices.Equal(got, []int{0, 1, 1, 0}) || w.stats()[Deferred] != 1 {
			t.Errorf("told %v, %v", got, w.stats())
		}
		stop()
	})
}

// TestSuccessIsOwed: of which deliveries the sender is to hear (RFC 2852 §4.1.4,
// RFC 3461 §5.2).
func TestSuccessIsOwed(t *testing.T) {
	t.Parallel()
	const now = 1000
	early, late := mail.DeliverBy{At: 2000}, mail.DeliverBy{At: 500}
	trace := func(b mail.DeliverBy) mail.DeliverBy { b.Trace = true; return b }
	back := mail.DeliverBy{At: 2000, Return: true}
	for _, test := range []struct {
		by     mail.DeliverBy
		notify mail.Notify
		o      Outcome
		site   string
		owed   bool
	}{
		{notify: 0}, {notify: mail.NotifySuccess, owed: true}, {notify: mail.NotifySuccess, o: Outcome{Reports: true}},
		{by: early, owed: true}, {by: early, notify: mail.NotifyFailure, owed: true}, {by: early, notify: mail.NotifyNever},
		{by: early, o: Outcome{Watches: true}}, {by: early, o: Outcome{Reports: true}, owed: true}, {by: late},
		{by: back}, {by: back, o: Outcome{Watches: true}}, {by: trace(back), o: Outcome{Watches: true}, owed: true},
		{by: trace(early), o: Outcome{Watches: true, Reports: true}, owed: true}, {by: trace(late), owed: true},
		{by: trace(early), notify: mail.NotifyNever}, {by: trace(early), site: SiteLocal}, {by: early, site: SiteLocal},
		{by: early, site: SiteLocal, notify: mail.NotifySuccess, owed: true},
	} {
		r := Recipient{Recipient: mail.Recipient{Notify: test.notify}, Site: test.site}
		test.o.Result = Delivered
		for _, sender := range []bool{true, false} {
			got := apply(r, test.o, circumstances{now: now, expires: 5000, by: test.by, reports: sender, settings: defaults()}).r.State
			if (got == Served) != (test.owed && sender) {
				t.Errorf("%+v, sender %v: %v", test, sender, got)
			}
		}
	}
}

// TestWishesAreKept: all of them come back from the database as they were.
func TestWishesAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, always(delivered), func(s *Settings) { s.Hold = true })
	for i, by := range []mail.DeliverBy{{}, {At: 1 << 50}, {At: 1 << 51, Return: true}, {At: 7, Trace: true}, {At: 1 << 51, Return: true, Trace: true}} {
		m := w.message("a@x.test")
		m.By, m.Priority, m.RequireTLS, m.TLSOptional = by, mail.Priority(4*i-9), i%3 == 0, i%3 == 1
		w.insert(m)
		got, err := w.q.Show(t.Context(), m.ID)
		w.must(err)
		if got.By != m.By || got.Priority != m.Priority || got.RequireTLS != m.RequireTLS || got.TLSOptional != m.TLSOptional {
			t.Errorf("%+v became %+v, %d, %v, %v", m.Envelope, got.By, got.Priority, got.RequireTLS, got.TLSOptional)
		}
		if by.Return && got.Expires != min(by.At, m.Received+w.set.Lifetime.Microseconds()) {
			t.Errorf("%+v expires at %d", by, got.Expires)
		}
	}
	if s := strings.Join(w.obs.seen(), ","); s != "" {
		t.Error(s)
	}
}
