package outbound_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		"gmail.test. 60 MX 5 gmail-smtp-in.l.google.com.", "gmail.test. 60 MX 10 alt1.gmail-smtp-in.l.google.com.",
		"firm.test. 60 MX 1 aspmx.l.google.com.", "firm.test. 60 MX 5 backup.firm.test.",
		"office.test. 60 MX 0 office-test.mail.protection.outlook.com.",
		"japan.test. 60 MX 10 mx.hosting.ne.jp.", "own.test. 60 MX 10 mx1.own.test.",
		"two.test. 60 MX 10 b.second.test.", "two.test. 60 MX 10 a.first.test.",
		"sub.none.test. 60 A 10.0.0.1", "null.test. 60 MX 0 .",
	)
	w.dns.Fail("broken.test", testkit.DNSServFail)
	for site, want := range map[string]string{
		"gmail.test": "google.com", "firm.test": "google.com", "office.test": "outlook.com", "japan.test": "hosting.ne.jp",
		"own.test": "own.test", "two.test": "first.test", "sub.none.test": "none.test", "null.test": "",
		"broken.test": "", "nothing.test": "", "[10.0.0.9]": "[10.0.0.9]",
	} {
		if got := w.o.Provider(t.Context(), site); got != want {
			t.Errorf("%s: %q, want %q", site, got, want)
		}
	}
	w.set.SmartHost = outbound.SmartHost{Host: "smart.test"}
	if got := w.o.Provider(t.Context(), "gmail.test"); got != "smart.test" {
		t.Errorf("with a smart host: %q", got)
	}
}

// TestLimitsOfAProvider: what a provider bears goes before the settings.
func TestLimitsOfAProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	w.limits = func(provider string) outbound.Limits {
		if provider != "x.test" {
			t.Errorf("asked about %q", provider)
		}
		return outbound.Limits{Messages: 2, Recipients: 3}
	}
	got := w.deliver(t.Context(), w.job("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"), w.job("f@x.test"))
	w.want(got[0], good, good, good, good, good)
	w.want(got[1], good)
	var sizes []int
	for _, msg := range m.Messages() {
		sizes = append(sizes, len(msg.Recipients))
	}
	if len(sizes) != 3 || sizes[0] != 3 || sizes[1] != 2 || sizes[2] != 1 || m.Connections() != 2 {
		t.Errorf("recipients of each transaction: %v, on %d connections", sizes, m.Connections())
	}
}

// TestAnotherTransaction: a message takes no more transactions than its provider's rate
// has room for, and what is left was not tried.
func TestAnotherTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	w.limits = func(string) outbound.Limits { return outbound.Limits{Recipients: 2} }
	job := w.job("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test", "f@x.test")
	asked := 0
	var settled []queue.Outcome
	job.Course = course(func(outcomes []queue.Outcome, left []queue.Recipient) []queue.Recipient {
		settled = append(settled, outcomes...)
		if asked++; asked == 2 {
			return nil
		}
		return left
	})
	got := w.deliver(t.Context(), job)
	settled = append(settled, got[0]...)
	w.want(settled, good, good, good, good)
	if n := len(m.Messages()); n != 2 || asked != 2 {
		t.Errorf("%d transactions, asked %d times", n, asked)
	}
}

// TestSitesShareConnections: what was opened for one domain serves another one whose
// mail the same host takes, and no more are kept than the provider bears.
func TestSitesShareConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		"a.test. 60 MX 10 mx.farm.test.", "b.test. 60 MX 10 mx.farm.test.", "c.test. 60 MX 10 mx2.farm.test.", "c.test. 60 MX 20 mx.farm.test.",
		"mx.farm.test. 60 A 10.0.0.1", "mx2.farm.test. 60 A 10.0.0.2")
	one, two := testkit.StartMX(t, testkit.MXOptions{}), testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:25", one)
	w.route("10.0.0.2:25", two)
	w.set.IdleTimeout = time.Minute
	w.options.Bears = func(provider string) int {
		if provider != "farm.test" {
			t.Errorf("asked about %q", provider)
		}
		return 1
	}
	w.o.Close()
	w.o = outbound.New(w.options)
	for _, to := range []string{"x@a.test", "x@b.test", "y@a.test"} {
		w.want(w.send(to), good)
	}
	if one.Connections() != 1 || len(one.Messages()) != 3 {
		t.Errorf("%d connections, %d messages", one.Connections(), len(one.Messages()))
	}
	// A less preferred host is no way, whatever is open; and the provider bears one.
	w.want(w.send("x@c.test"), good)
	if two.Connections() != 1 || one.Connections() != 1 {
		t.Errorf("%d and %d connections", one.Connections(), two.Connections())
	}
	one.WaitFor(10*time.Second, "QUIT", func() bool {
		c := one.Commands()
		return c[len(c)-1].Line == "QUIT"
	})
	w.want(w.send("z@b.test"), good)
	if one.Connections() != 2 {
		t.Errorf("%d connections after the first was ended", one.Connections())
	}
}

// TestStrained: what is said before a message comes, 421, 4.3.1 and 4.3.2 are about the host; a
// mailbox that is full or a host that greylists bears as many connections as before.
func TestStrained(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command, reply string
		want           bool
	}{
		{"CONNECT", "450 4.3.2 busy", true}, {"EHLO", "450 4.3.2 busy", true}, {"RCPT", "421 4.3.2 busy", true}, {"END", "421 4.3.2 busy", true},
		{"MAIL", "450 4.7.1 greylisted", false}, {"RCPT", "450 4.2.0 greylisted", false}, {"END", "452 4.2.2 full", false}, {"CONNECT", "554 no", false},
		{"MAIL", "451 4.3.2 System not accepting messages", true}, {"RCPT", "452 4.3.1 Insufficient system storage", true}, {"END", "451 4.3.2 busy", true},
		{"RCPT", "451 4.3.2 Greylisted, come back in 00:05:00", false}, {"RCPT", "451 4.3.0 Temporary lookup failure", false},
	} {
		w := newWorld(t)
		w.mx(testkit.MXOptions{}, testkit.MXRule{Command: c.command, Reply: c.reply})
		if got := w.send("a@x.test"); got[0].Result != queue.TryLater || got[0].Ours || got[0].Strained != c.want {
			t.Errorf("%s %s: %+v", c.command, c.reply, got[0])
		}
	}
}

// TestFewerAreKept: once a provider bears fewer, connections to it without work end: at once
// if that is told, else when one of them, or a new one, gets work, or has none any more.
func TestFewerAreKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now         int32
		do          func(w *world, bears *atomic.Int32)
		ended, made int
	}{
		"told":                   {1, func(w *world, _ *atomic.Int32) { w.o.Fewer() }, 2, 3},
		"told of nothing":        {3, func(w *world, _ *atomic.Int32) { w.o.Fewer() }, 0, 3},
		"one has work":           {2, func(w *world, _ *atomic.Int32) { w.want(w.send("x@b.test"), good) }, 1, 3},
		"one has work, alone":    {1, func(w *world, _ *atomic.Int32) { w.want(w.send("x@b.test"), good) }, 2, 3},
		"for another domain":     {1, func(w *world, _ *atomic.Int32) { w.want(w.send("x@also-b.test"), good) }, 2, 3},
		"a new one has work":     {3, func(w *world, _ *atomic.Int32) { w.want(w.send("x@d.test"), good) }, 1, 4},
		"a new one has, of less": {1, func(w *world, _ *atomic.Int32) { w.want(w.send("x@d.test"), good) }, 3, 4},
		"one has none any more": {3, func(w *world, bears *atomic.Int32) {
			jobs := 1
			w.o.Deliver(w.t.Context(), "b.test", func() *queue.Job {
				if jobs--; jobs < 0 {
					return nil
				}
				return w.job("x@b.test")
			}, func(*queue.Job, []queue.Outcome) { bears.Store(2) })
		}, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "a.test. 60 MX 10 mx1.farm.test.", "b.test. 60 MX 10 mx2.farm.test.", "c.test. 60 MX 10 mx3.farm.test.", "d.test. 60 MX 10 mx4.farm.test.",
				"also-b.test. 60 MX 10 mx2.farm.test.",
				"mx1.farm.test. 60 A 10.0.0.1", "mx2.farm.test. 60 A 10.0.0.2", "mx3.farm.test. 60 A 10.0.0.3", "mx4.farm.test. 60 A 10.0.0.4")
			m := testkit.StartMX(t, testkit.MXOptions{})
			for i := range 4 {
				w.route(fmt.Sprintf("10.0.0.%d:25", i+1), m)
			}
			w.set.IdleTimeout = time.Hour
			var bears atomic.Int32
			bears.Store(3)
			w.options.Bears = func(string) int { return int(bears.Load()) }
			w.o.Close()
			w.o = outbound.New(w.options)
			for _, to := range []string{"x@a.test", "x@b.test", "x@c.test"} {
				w.want(w.send(to), good)
			}
			bears.Store(c.now)
			c.do(w, &bears)
			ended := func() (n int) {
				for _, said := range m.Commands() {
					if said.Line == "QUIT" {
						n++
					}
				}
				return n
			}
			m.WaitFor(patience, "QUIT", func() bool { return ended() >= c.ended })
			if ended() != c.ended || m.Connections() != c.made {
				t.Errorf("%d connections ended, %d were made; want %d and %d", ended(), m.Connections(), c.ended, c.made)
			}
		})
	}
}
