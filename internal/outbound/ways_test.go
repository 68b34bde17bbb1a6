package outbound_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/source"
	"github.com/hayauma/hayauma/internal/testkit"
)

// The tests of this file are about where ways of mail, pools of source addresses and
// rules meet.

// TestAConnectionServesItsWayAlone: a host that is the smart host and the next host of a
// relay domain has a connection for each, and one anew when the smart host's login is
// another.
func TestAConnectionServesItsWayAlone(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	w := newWorld(t, "h.test. 60 A 10.0.0.1")
	w.tls = ca.ClientConfig("")
	w.set.IdleTimeout = time.Minute
	m := testkit.StartMX(t, testkit.MXOptions{Auth: true, TLS: ca.ServerConfig(t, "h.test")})
	w.route("10.0.0.1:25", m)
	w.set.SmartHost = outbound.SmartHost{Host: "h.test", Port: 25, User: "me", Password: "p"}
	w.relays = map[string]*outbound.Relay{"relay.test": hops(route.Host{Name: "h.test"})}
	logins := func() (out []string) {
		for _, got := range m.Messages() {
			out = append(out, got.Login)
		}
		return out
	}
	for _, to := range []string{"a@relay.test", "b@x.test", "c@relay.test", "d@y.test"} {
		w.want(w.send(to), good)
	}
	if got := logins(); !slices.Equal(got, []string{"", "me", "", "me"}) {
		t.Errorf("logins %q", got)
	}
	if got := len(strings.Fields(w.dials())); got != 2 {
		t.Errorf("%d connections, want one for each way: %s", got, w.dials())
	}
	w.set.SmartHost.User = "another"
	w.want(w.send("e@y.test"), good)
	if got := logins(); got[4] != "another" {
		t.Errorf("logins %q", got)
	}
}

// TestAWorkerSeesWhatChanges: one that has work all the time takes a change over.
func TestAWorkerSeesWhatChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := testkit.StartMX(t, testkit.MXOptions{}), testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:25", one)
	w.route("10.0.0.2:25", two)
	w.way("r", "none", "10.0.0.1:25")
	given := 0
	w.o.Deliver(t.Context(), route.Site("r"), func() *queue.Job {
		given++
		switch given {
		case 2:
			w.way("r", "none", "10.0.0.2:25")
			r := w.ways["r"]
			r.Changed = 7
			w.ways["r"] = r
			<-time.After(1100 * time.Millisecond)
		case 3:
			return nil
		}
		job := w.job("a@x.test")
		job.Recipients[0].Site = route.Site("r")
		return job
	}, func(_ *queue.Job, got []queue.Outcome) { w.want(got, good) })
	if a, b := len(one.Messages()), len(two.Messages()); a != 1 || b != 1 {
		t.Errorf("the first host has %d messages, the second %d, want one each", a, b)
	}
}

// TestABlockedSourceIsNotTheSite: a host that closes the door on one of our addresses may
// be open for the others.
func TestABlockedSourceIsNotTheSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: "421 4.7.0 blocked", Hangup: true})
	p := w.pools()
	p.pool(source.Pool{Name: "bulk"}, source.Addition{Address: "127.0.0.21"})
	p.pool(source.Pool{Name: "other"}, source.Addition{Address: "127.0.0.22"})
	for i, step := range []struct {
		tag       string
		unreached bool
	}{{"bulk", false}, {"bulk", false}, {"none", true}, {"bulk", false}, {"other", true}, {"bulk", true}} {
		got := w.deliver(t.Context(), w.tagged(step.tag, "a@x.test"))[0][0]
		if got.Result != queue.TryLater || got.Code != 421 || got.Unreached != step.unreached {
			t.Errorf("%d, by pool %s: %+v, want unreached %v", i, step.tag, got, step.unreached)
		}
	}
}

// TestALetInSourceOpensTheDoor: of a site that has let one address in, the others are asked
// again, one by one.
func TestALetInSourceOpensTheDoor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: "554 5.7.1 blocked", Hangup: true, Times: 2})
	p := w.pools()
	p.pool(source.Pool{Name: "bulk"}, source.Addition{Address: "127.0.0.21"})
	w.deliver(t.Context(), w.tagged("none", "a@x.test"))
	if got := w.deliver(t.Context(), w.tagged("bulk", "a@x.test"))[0][0]; got.Code != 554 || !got.Unreached {
		t.Errorf("both are shut out: %+v", got)
	}
	w.want(w.deliver(t.Context(), w.tagged("none", "a@x.test"))[0], good)
	w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: "554 5.7.1 blocked", Hangup: true})
	if got := w.deliver(t.Context(), w.tagged("bulk", "a@x.test"))[0][0]; got.Code != 554 || got.Unreached {
		t.Errorf("the other one was let in: %+v", got)
	}
}

// TestOurHostsNeedNoWarmUp: the next hosts of a relay domain and web hooks get mail from
// the system's address, whatever pool is for the message.
func TestOurHostsNeedNoWarmUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "n.test. 60 A 10.0.0.1")
	w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}))
	w.relays = map[string]*outbound.Relay{"x.test": hops(route.Host{Name: "n.test"})}
	p := w.pools()
	p.pool(source.Pool{Name: "bulk", WarmUp: []int{1}}, source.Addition{Address: "127.0.0.21", WarmUp: new(true)})
	for range 3 {
		got := w.deliver(t.Context(), w.tagged("bulk", "a@x.test"))[0]
		p.record(got)
		w.want(got, good)
	}
	if got := p.dials(); got != "" {
		t.Errorf("connections from %s", got)
	}
	w.hook("r", route.NoAuth, "", nil)
	w.way("s", "none", "n.test")
	for site, want := range map[string]bool{"x.test": false, route.Site("r"): false, route.Site("s"): true, "y.test": true} {
		d := w.address("a@y.test").Domain
		d.ASCII = site
		if got := w.o.Explain(t.Context(), d, "").Pooled; got != want {
			t.Errorf("%s: pools are for it: %v", site, got)
		}
	}
}

// TestAWebHookIsAskedNothing: it is no mail server, and promises nothing of one.
func TestAWebHookIsAskedNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("r", route.NoAuth, "", func(http.ResponseWriter, *http.Request, string) {})
	if got := w.o.AskRecipient(t.Context(), route.Site("r"), w.address("a@x.test")); got.Verdict != callahead.Taken {
		t.Errorf("%+v", got)
	}
	job := w.job("a@x.test")
	job.Recipients[0].Site, job.Message.RequireTLS = route.Site("r"), true
	w.want(w.deliver(t.Context(), job)[0], "failed 550 5.7.30 ours")
	if got := h.requests(); len(got) != 0 {
		t.Errorf("%d requests", len(got))
	}
}
