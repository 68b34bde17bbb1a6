package outbound_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

// TestInsistsOnTLS: a host that refuses in the clear what it would take over TLS, which
// failed with it once, refuses no message.
func TestInsistsOnTLS(t *testing.T) {
	t.Parallel()
	const put = "deferred 450 4.7.10 ours"
	for name, first := range map[string]testkit.MXRule{
		"STARTTLS is cut":     {Drop: true},
		"STARTTLS is refused": {Reply: "454 4.7.0 TLS not available due to temporary reason"},
		"STARTTLS stalls":     {Stall: true},
	} {
		first.Command, first.Times = "STARTTLS", 1
		for _, c := range []struct{ command, reply, want string }{
			{"MAIL", "530 5.7.0 Must issue a STARTTLS command first", put},
			{"RCPT", "530 5.7.0 Must issue a STARTTLS command first", put},
			{"DATA", "550 5.7.10 No", put},
			{"END", "554 5.7.1 Encrypted connections alone are welcome here", put},
			{"MAIL", "554 5.7.1 Go away", "failed 554 5.7.1 theirs"},
			{"RCPT", "550 5.1.1 <tls@x.test> unknown", "failed 550 5.1.1 theirs"},
			{"RCPT", "450 4.7.1 TLS would be nice", "deferred 450 4.7.1 theirs"},
		} {
			t.Run(name+", "+c.command+" "+c.reply, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.set.IdleTimeout = time.Minute
				w.set.Timeouts.Greeting = patience
				if first.Stall {
					w.set.Timeouts.Greeting = time.Second
				}
				m := w.mx(testkit.MXOptions{TLS: testkit.NewCA(t).ServerConfig(t, "mx.x.test")}, first, testkit.MXRule{Command: c.command, Reply: c.reply, Times: 1})
				got := w.deliver(t.Context(), w.job("a@x.test"), w.job("a@x.test"))
				w.want(got[0], c.want)
				w.want(got[1], good)
				if said := got[0][0].Reply; c.want == put && (!strings.Contains(said, "mx.x.test takes mail over TLS alone ("+c.reply+"), and TLS with it failed: STARTTLS") || !strings.HasPrefix(got[0][0].TLS, "none: ")) {
					t.Errorf("%q, TLS %q", said, got[0][0].TLS)
				}
				if c.want == put && !m.Messages()[0].TLS {
					t.Error("the next message went in the clear")
				}
			})
		}
	}
}

// TestInsistsOnTLSOverIt: what it says where TLS is not in question holds.
func TestInsistsOnTLSOverIt(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]testkit.MXOptions{"over TLS": {TLS: testkit.NewCA(t).ServerConfig(t, "mx.x.test")}, "without STARTTLS": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mx(o, testkit.MXRule{Command: "MAIL", Reply: "530 5.7.0 Must issue a STARTTLS command first"})
			w.want(w.send("a@x.test"), "failed 530 5.7.0 theirs")
		})
	}
}

// TestInsistsOnTLSNextHost: another host of the site gets the message at once.
func TestInsistsOnTLSNextHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x.test. 60 MX 10 m.test.", "x.test. 60 MX 20 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2")
	ca := testkit.NewCA(t)
	w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{TLS: ca.ServerConfig(t, "m.test")},
		testkit.MXRule{Command: "STARTTLS", Drop: true}, testkit.MXRule{Command: "MAIL", Reply: "530 5.7.0 Must issue a STARTTLS command first"}))
	w.route("10.0.0.2:25", testkit.StartMX(t, testkit.MXOptions{TLS: ca.ServerConfig(t, "n.test")}))
	got := w.send("a@x.test")
	w.want(got, good)
	if got[0].Host != "n.test" || len(got[0].Before) != 1 || !strings.Contains(got[0].Before[0].Reply, "takes mail over TLS alone") {
		t.Errorf("%+v", got[0])
	}
}

// TestCleartextIsNotKept: a connection that fell back serves who made it, and nobody after
// that; with one that had no TLS to lose it is as ever.
func TestCleartextIsNotKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		starttls testkit.MXRule
		plain    bool
		conns    int
		clear    int // messages of four
	}{
		"it was cut":     {starttls: testkit.MXRule{Command: "STARTTLS", Drop: true, Times: 1}, conns: 3, clear: 2},
		"it was refused": {starttls: testkit.MXRule{Command: "STARTTLS", Reply: "454 4.7.0 Not now", Times: 1}, conns: 2, clear: 2},
		"none offered":   {plain: true, conns: 1, clear: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "y.test. 60 MX 10 mx.x.test.")
			w.set.IdleTimeout = time.Minute
			o := testkit.MXOptions{}
			if !c.plain {
				o.TLS = testkit.NewCA(t).ServerConfig(t, "mx.x.test")
			}
			m := w.mx(o, c.starttls)
			for _, list := range w.deliver(t.Context(), w.job("a@x.test"), w.job("b@x.test")) {
				w.want(list, good)
			}
			w.want(w.send("a@y.test"), good)
			w.want(w.send("a@x.test"), good)
			inClear := 0
			for _, sent := range m.Messages() {
				if !sent.TLS {
					inClear++
				}
			}
			if m.Connections() != c.conns || inClear != c.clear {
				t.Errorf("%d of %d messages in the clear, over %d connections", inClear, len(m.Messages()), m.Connections())
			}
		})
	}
}
