package outbound_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
)

// exchangers are n hosts for x.test, the first of which do as the rules say.
func (w *world) exchangers(n int, rules ...[]testkit.MXRule) (hosts []*testkit.MX) {
	for i := range n {
		w.dns.Add(fmt.Sprintf("x.test. 60 MX %d mx%d.x.test.", 10*(i+1), i+1), fmt.Sprintf("mx%d.x.test. 60 A 10.0.0.%d", i+1, i+1))
		var of []testkit.MXRule
		if i < len(rules) {
			of = rules[i]
		}
		hosts = append(hosts, testkit.StartMX(w.t, testkit.MXOptions{}, of...))
		w.route(fmt.Sprintf("10.0.0.%d:25", i+1), hosts[i])
	}
	return hosts
}

// TestNextHost: whom a host puts off for reasons of its own the next one is asked to take
// at once (RFC 5321 §5.1). What it says of the mailbox, of a rule, of us, and what may have
// been taken is not asked of others.
func TestNextHost(t *testing.T) {
	t.Parallel()
	at := func(command, reply string) []testkit.MXRule {
		return []testkit.MXRule{{Command: command, Reply: reply}}
	}
	for _, c := range []struct {
		name  string
		rules []testkit.MXRule
		want  string // of the recipient
		taken bool   // by the second host
	}{
		{"MAIL 421", []testkit.MXRule{{Command: "MAIL", Reply: "421 4.3.2 busy", Hangup: true}}, good, true},
		{"MAIL 451", at("MAIL", "451 4.3.0 try later"), good, true},
		{"MAIL without an enhanced code", at("MAIL", "451 Local error"), good, true},
		{"RCPT 421", []testkit.MXRule{{Command: "RCPT", Reply: "421 bye", Hangup: true}}, good, true},
		{"RCPT 451", at("RCPT", "451 4.3.5 lookup failure"), good, true},
		{"DATA 451", at("DATA", "451 4.3.0 x"), good, true},
		{"the dot 452", at("END", "452 4.3.1 no room"), good, true},
		{"MAIL lost", []testkit.MXRule{{Command: "MAIL", Drop: true}}, good, true},
		{"RCPT silent", []testkit.MXRule{{Command: "RCPT", Stall: true}}, good, true},
		{"DATA lost", []testkit.MXRule{{Command: "DATA", Drop: true}}, good, true},
		{"lost after the dot", []testkit.MXRule{{Command: "END", Drop: true}}, "deferred 421 4.4.2 ours", false},
		{"a full mailbox", at("RCPT", "452 4.2.2 full"), "deferred 452 4.2.2 theirs", false},
		{"a busy mailbox", at("RCPT", "450 busy"), "deferred 450 theirs", false},
		{"greylisting", at("RCPT", "451 4.3.0 Greylisted, come back later"), "deferred 451 4.3.0 theirs", false},
		{"too much mail from us", at("MAIL", "421 4.7.28 unusual rate"), "deferred 421 4.7.28 theirs", false},
		{"refused", at("RCPT", "550 5.1.1 who"), "failed 550 5.1.1 theirs", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set.Timeouts.Command, w.set.Timeouts.DataBlock = time.Second, time.Second
			hosts := w.exchangers(2, c.rules)
			got := w.send("a@x.test")
			w.want(got, c.want)
			if n := len(hosts[1].Messages()); n > 0 != c.taken || n > 1 {
				t.Errorf("the second host has %d messages", n)
			}
			if b := got[0].Before; c.taken && (len(b) != 1 || b[0].Host != "mx1.x.test" || b[0].At == 0 || b[0].Reply == "" || got[0].Host != "mx2.x.test") {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

// TestNextHostForSome: those whom the first host took do not get it twice, and whom it
// refused are refused.
func TestNextHostForSome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hosts := w.exchangers(2, []testkit.MXRule{
		{Command: "RCPT", Contains: "later@", Reply: "451 4.3.0 later"},
		{Command: "RCPT", Contains: "nobody@", Reply: "550 5.1.1 who"},
	})
	job := w.job("taken@x.test", "later@x.test", "nobody@x.test", "later@y.test")
	job.Recipients[3].Site = "x.test"
	got := w.deliver(t.Context(), job)[0]
	if len(got) != 4 {
		t.Fatalf("%+v", got)
	}
	for _, o := range got {
		i := slices.IndexFunc(job.Recipients, func(r queue.Recipient) bool { return r.ID == o.Recipient })
		if want := []string{good, good, "failed 550 5.1.1 theirs", good}[i]; show(o) != want {
			t.Errorf("%s: %s, want %s", job.Recipients[i].Address, show(o), want)
		}
	}
	for i, want := range []string{"taken@x.test", "later@x.test later@y.test"} {
		var to []string
		for _, m := range hosts[i].Messages() {
			for _, r := range m.Recipients {
				to = append(to, r.Address)
			}
		}
		if strings.Join(to, " ") != want {
			t.Errorf("host %d has the message for %q, want %q", i+1, to, want)
		}
	}
}

// TestNoHostLeft: what was said last holds where it was said by one of the hosts, else what
// the first one said; three are asked, and the next message begins with the first again.
func TestNoHostLeft(t *testing.T) {
	t.Parallel()
	busy := func(n int) []testkit.MXRule {
		return []testkit.MXRule{{Command: "MAIL", Reply: fmt.Sprintf("451 4.3.%d busy", n)}}
	}
	for name, c := range map[string]struct {
		hosts int
		rules [][]testkit.MXRule
		down  string
		want  string
		asked []int // connections
	}{
		"two say no":          {2, [][]testkit.MXRule{busy(0), busy(5)}, "", "deferred 451 4.3.5 theirs", []int{1, 1}},
		"the second is away":  {2, [][]testkit.MXRule{busy(0)}, "10.0.0.2:25", "deferred 451 4.3.0 theirs", []int{1, 0}},
		"the third takes it":  {3, [][]testkit.MXRule{busy(0), busy(5)}, "", good, []int{1, 1, 1}},
		"the fourth is left":  {4, [][]testkit.MXRule{busy(0), busy(0), busy(5)}, "", "deferred 451 4.3.5 theirs", []int{1, 1, 1, 0}},
		"the second refuses":  {2, [][]testkit.MXRule{busy(0), {{Command: "RCPT", Reply: "550 5.1.1 who"}}}, "", "failed 550 5.1.1 theirs", []int{1, 1}},
		"a rate forbids more": {2, [][]testkit.MXRule{busy(0)}, "rate", "deferred 451 4.3.0 theirs", []int{1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hosts := w.exchangers(c.hosts, c.rules...)
			job := w.job("a@x.test")
			if c.down == "rate" {
				job.Course = course(func([]queue.Outcome, []queue.Recipient) []queue.Recipient { return nil })
			} else if c.down != "" {
				delete(w.routes, c.down)
			}
			w.want(w.deliver(t.Context(), job)[0], c.want)
			for i, want := range c.asked {
				if n := hosts[i].Connections(); n != want {
					t.Errorf("host %d: %d connections, want %d", i+1, n, want)
				}
			}
		})
	}
	t.Run("the next message", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		hosts := w.exchangers(2, []testkit.MXRule{{Command: "MAIL", Nth: 1, Reply: "451 4.3.0 busy"}})
		for _, got := range w.deliver(t.Context(), w.job("a@x.test"), w.job("b@x.test")) {
			w.want(got, good)
		}
		if len(hosts[0].Messages()) != 1 || len(hosts[1].Messages()) != 1 {
			t.Errorf("%d and %d messages", len(hosts[0].Messages()), len(hosts[1].Messages()))
		}
	})
}

// TestWithdrawnMeanwhile: whom the queue takes back between two transactions gets nothing
// more, be he still to be tried or put off, and the others go on.
func TestWithdrawnMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hosts := w.exchangers(2, []testkit.MXRule{
		{Command: "RCPT", Contains: "b@", Reply: "451 4.3.0 busy"}, {Command: "RCPT", Contains: "c@", Reply: "451 4.3.0 busy"},
	})
	w.limits = func(string) outbound.Limits { return outbound.Limits{Recipients: 1} }
	job := w.job("a@x.test", "b@x.test", "c@x.test", "d@x.test")
	names := map[mail.ID]string{}
	for _, r := range job.Recipients {
		names[r.ID] = r.Address.Local
	}
	taken := []string{"d", "", "b"} // behind each transaction
	var asked []string
	job.Course = course(func(outcomes []queue.Outcome, left []queue.Recipient) []queue.Recipient {
		line := ""
		for _, o := range outcomes {
			line += names[o.Recipient] + " " + o.Result.String() + " "
		}
		line += "/"
		for _, r := range left {
			line += " " + names[r.ID]
		}
		asked = append(asked, line)
		out := taken[0]
		taken = taken[1:]
		return slices.DeleteFunc(slices.Clone(left), func(r queue.Recipient) bool { return names[r.ID] == out })
	})
	w.want(w.deliver(t.Context(), job)[0], good)
	if want := []string{"a delivered / b c d", "b deferred / c b", "b deferred c deferred / b c"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	for i, want := range []string{"a@x.test", "c@x.test"} {
		if got := hosts[i].Messages(); len(got) != 1 || got[0].Recipients[0].Address != want {
			t.Errorf("host %d has %+v", i+1, got)
		}
	}
}

// TestNextPort: another port of a host is another server.
func TestNextPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "store.test. 60 A 10.0.0.1")
	w.way("r", "none", "store.test:2401", "store.test:2402,10")
	busy := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "DATA", Reply: "451 4.3.0 later"})
	second := testkit.StartMX(t, testkit.MXOptions{})
	w.route("10.0.0.1:2401", busy)
	w.route("10.0.0.1:2402", second)
	for n := range 2 {
		w.want(w.by("r", "a@x.test"), good)
		if len(second.Messages()) != n+1 || busy.Connections() != n+1 { // each message begins with the first
			t.Errorf("%d messages, %d connections", len(second.Messages()), busy.Connections())
		}
	}
}

// TestManyAddresses of one host, or many hosts without one, do not hide the next.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	for name, records := range map[string][]string{
		"one host of many addresses":    {"x.test. 60 MX 10 many.x.test."},
		"many hosts with no address":    {},
		"many hosts that are not there": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.dns.Add(records...)
			for i := range 12 {
				switch {
				case len(records) > 0:
					w.dns.Add(fmt.Sprintf("many.x.test. 60 A 10.1.0.%d", i+1))
				case strings.HasSuffix(name, "address"):
					w.dns.Add(fmt.Sprintf("x.test. 60 MX 10 none%d.x.test.", i))
				case i < 9:
					w.dns.Add(fmt.Sprintf("x.test. 60 MX 10 away%d.x.test.", i), fmt.Sprintf("away%d.x.test. 60 A 10.1.0.%d", i, i+1))
				}
			}
			w.dns.Add("x.test. 60 MX 20 mx.x.test.", "mx.x.test. 60 A 10.0.0.1")
			w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}))
			w.want(w.send("a@x.test"), good)
		})
	}
}

// TestUnseenHosts: that no host has an address is not final while some were not looked at.
func TestUnseenHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 30 {
		w.dns.Add(fmt.Sprintf("x.test. 60 MX 10 none%d.x.test.", i))
	}
	w.want(w.send("a@x.test"), "deferred 451 4.4.3 ours")
}
