package event_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// attempt is what the queue tells of one recipient.
func attempt(t *testing.T, message mail.ID, result queue.Result) queue.Report {
	t.Helper()
	a, err := mail.ParseAddress("bob@elsewhere.test")
	if err != nil {
		t.Fatal(err)
	}
	return queue.Report{
		Message: &queue.Message{ID: message, Tenant: 3, Account: 4, Stream: "bulk"},
		Recipient: queue.Recipient{
			Recipient: mail.Recipient{Address: a}, Attempts: 2,
			Next: mail.Micros(time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)),
		},
		Outcome: queue.Outcome{
			Result: result, Host: "mx.elsewhere.test", Addr: netip.MustParseAddrPort("192.0.2.1:25"), Source: netip.MustParseAddr("192.0.2.9"), TLS: "TLSv1.3",
			Code: 250, Enhanced: "2.0.0", Reply: "Thanks", Started: 1_000_000, Ended: 1_012_999,
		},
	}
}

// TestRecalledTooLate: what one of its recipients has is not taken back from the others.
func TestRecalledTooLate(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for _, c := range []struct {
		before event.Kind
		want   error
	}{
		{event.Filed, queue.ErrTooLate}, {event.Delivered, queue.ErrTooLate},
		{event.Accepted, nil}, {event.Held, nil}, {event.Failed, nil},
	} {
		report := attempt(t, h.ids.Next(), 0)
		h.append(event.Event{Message: report.Message.ID, Kind: c.before}, event.Event{Message: h.ids.Next(), Kind: event.Delivered})
		err := h.db.Write(t.Context(), func(tx *db.Tx) error {
			return h.recorder(nil).Administered(tx, "recalled", []queue.Report{report})
		})
		if !errors.Is(err, c.want) {
			t.Errorf("behind %s: %v, want %v", c.before, err, c.want)
		}
	}
}

// TestLastSource: of several attempts for a recipient the last one counts, and none for others.
func TestLastSource(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	id := h.ids.Next()
	other, err := mail.ParseAddress("other@elsewhere.test")
	if err != nil {
		t.Fatal(err)
	}
	report := attempt(t, id, queue.TryLater)
	bob := report.Recipient.Address
	for _, c := range []struct {
		to   mail.Address
		from string // empty = there was no connection
	}{{bob, "192.0.2.9"}, {bob, "192.0.2.8"}, {other, "192.0.2.7"}, {bob, ""}} {
		report.Recipient.Address, report.Source = c.to, netip.Addr{}
		if c.from != "" {
			report.Source = netip.MustParseAddr(c.from)
		}
		h.write(func(tx *db.Tx) error { return h.recorder(nil).Attempted(tx, []queue.Report{report}) })
		if got, err := h.LastSource(t.Context(), id, c.to); err != nil || got != report.Source {
			t.Errorf("%s: %v, %v; want %v", c.to, got, err, report.Source)
		}
	}
	if got, err := h.LastSource(t.Context(), id, other); err != nil || got.String() != "192.0.2.7" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := h.LastSource(t.Context(), h.ids.Next(), bob); err != nil || got.IsValid() {
		t.Errorf("of a message without a history: %v, %v", got, err)
	}
}

func TestRecorderAttempted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		result  queue.Result
		expired bool
		want    event.Kind // empty = no event
		class   string
		next    string
		reason  string
	}{
		"delivered":          {queue.Delivered, false, event.Delivered, "", "", ""},
		"deferred":           {queue.TryLater, false, event.Deferred, "other", "2026-01-02T03:04:05Z", ""},
		"failed":             {queue.Refused, false, event.Failed, "other", "", ""},
		"expired":            {queue.TryLater, true, event.Expired, "expired", "", ""},
		"delivered at last":  {queue.Delivered, true, event.Delivered, "", "", ""},
		"not tried":          {queue.NotTried, false, "", "", "", ""},
		"unknown is for now": {queue.Result(99), false, event.Deferred, "other", "2026-01-02T03:04:05Z", ""},
		"cut off": {queue.CutOff, false, event.Deferred, "", "2026-01-02T03:04:05Z",
			"cut off by the end of this server; it is not known whether the message was taken, so that it may arrive twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			report := attempt(t, h.ids.Next(), c.result)
			report.Expired, report.Ours = c.expired, true
			report.Before = []queue.Try{
				{At: 5e6, Host: "mx1.elsewhere.test", Addr: report.Addr, Code: 554, Reply: "5.7.1 no"},
				{At: 6e6, Host: "mx2.elsewhere.test", Reply: "connect to mx2.elsewhere.test: timed out"},
			}
			h.write(func(tx *db.Tx) error {
				return h.recorder(nil).Attempted(tx, []queue.Report{report})
			})
			if c.want == "" {
				if h.count() != 0 {
					t.Errorf("what never was an attempt has an event: %s", h.kinds(report.Message.ID))
				}
				return
			}
			got := h.trace(report.Message.ID.String())[0].Events
			want := []event.Event{{
				ID: got[0].ID, At: got[0].At, Message: report.Message.ID, Tenant: 3, Account: 4, Kind: c.want,
				Stream: "bulk", Recipient: "bob@elsewhere.test",
				Detail: event.Detail{
					Host: "mx.elsewhere.test", Peer: "192.0.2.1:25", Local: "192.0.2.9", TLS: "TLSv1.3", Code: 250, Enhanced: "2.0.0",
					Before: []string{"1970-01-01T00:00:05Z mx1.elsewhere.test[192.0.2.1]: 554 5.7.1 no", "1970-01-01T00:00:06Z connect to mx2.elsewhere.test: timed out"},
					Reply:  "Thanks", Ours: true, Class: c.class, Attempt: 2, Next: c.next, Millis: 12, Reason: c.reason,
				},
			}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecorderWritesManyAtOnce(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	id := h.ids.Next()
	h.write(func(tx *db.Tx) error {
		neverReached := attempt(t, id, queue.TryLater)
		neverReached.Addr, neverReached.Source, neverReached.Host = netip.AddrPort{}, netip.Addr{}, ""
		return h.recorder(nil).Attempted(tx, []queue.Report{
			attempt(t, id, queue.NotTried), neverReached, attempt(t, id, queue.Delivered),
		})
	})
	if got := h.kinds(id); got != "[deferred delivered]" {
		t.Errorf("events %s", got)
	}
	if d := h.trace(id.String())[0].Events[0].Detail; d.Peer != "" || d.Local != "" {
		t.Errorf("a host that was never reached has the address %q, and was asked from %q", d.Peer, d.Local)
	}
}

func TestRecorderAdministered(t *testing.T) {
	t.Parallel()
	for kind, reply := range map[string]string{"held": "", "released": "", "deleted": "", "rerouted": "", "failed": "Thanks"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			report := attempt(t, h.ids.Next(), 0)
			report.Ours = true
			h.write(func(tx *db.Tx) error {
				return h.recorder(nil).Administered(tx, kind, []queue.Report{report, report})
			})
			got := h.trace(report.Message.ID.String())[0].Events
			if len(got) != 2 {
				t.Fatalf("%d events, want one a recipient", len(got))
			}
			e := got[0]
			if string(e.Kind) != kind || e.Recipient != "bob@elsewhere.test" || e.Tenant != 3 || e.Account != 4 || e.Stream != "bulk" {
				t.Errorf("event %+v", e)
			}
			if (e.Detail.Class != "") != (reply != "") {
				t.Errorf("class %q", e.Detail.Class)
			}
			if e.Detail.Reason == "" || e.Detail.Reply != reply || e.Detail.Ours != (reply != "") || (e.Detail.Host != "") != (reply != "") || (e.Detail.Code != 0) != (reply != "") {
				t.Errorf("detail %+v", e.Detail)
			}
		})
	}
}

// TestRecorderClasses: an event says why, and what is committed is counted, once.
func TestRecorderClasses(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	registry := prometheus.NewRegistry()
	recorder := h.recorder(event.NewMetrics(registry))
	id := h.ids.Next()
	full := attempt(t, id, queue.TryLater)
	full.Code, full.Enhanced, full.Reply = 452, "4.2.2", "The recipient's inbox is out of storage space."
	expired := full
	expired.Expired = true
	unknown := attempt(t, id, queue.Refused)
	unknown.Code, unknown.Enhanced, unknown.Reply = 550, "", "recipient rejected"
	unknown.Host = "mx.east.cox.net"
	reports := []queue.Report{full, expired, unknown, attempt(t, id, queue.Delivered)}
	undone := errors.New("undone")
	err := h.db.Write(t.Context(), func(tx *db.Tx) error {
		return errors.Join(recorder.Attempted(tx, reports), undone)
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	h.write(func(tx *db.Tx) error { return recorder.Attempted(tx, reports) })
	var got []string
	for _, e := range h.trace(id.String())[0].Events {
		got = append(got, string(e.Kind)+" "+e.Detail.Class)
	}
	if want := []string{"deferred full", "expired full", "failed bad-mailbox", "delivered "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	counted := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		if n := m.GetCounter().GetValue(); n > 0 {
			counted[m.GetLabel()[1].GetValue()+" "+m.GetLabel()[0].GetValue()] = n
		}
	}
	want := map[string]float64{"deferred full": 1, "expired full": 1, "failed bad-mailbox": 1}
	if series := len(families[0].GetMetric()); !maps.Equal(counted, want) || series != 3*len(classify.All()) {
		t.Errorf("counted %v of %d series, want %v", counted, series, want)
	}
}
