package outbound_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

const good = "delivered 250 2.0.0 theirs"

func TestReplies(t *testing.T) {
	t.Parallel()
	rule := func(command, contains, reply string) testkit.MXRule {
		return testkit.MXRule{Command: command, Contains: contains, Reply: reply}
	}
	for _, c := range []struct {
		name  string
		to    string
		rules []testkit.MXRule
		want  []string
	}{
		{"all is well", "a b", nil, []string{good, good}},
		{"greeting 4xx", "a", []testkit.MXRule{rule("CONNECT", "", "421 4.3.2 busy")}, []string{"deferred 421 4.3.2 theirs"}},
		{"greeting 5xx is about the host", "a", []testkit.MXRule{rule("CONNECT", "", "554 5.7.1 go away")}, []string{"deferred 554 5.7.1 theirs"}},
		{"no greeting", "a", []testkit.MXRule{{Command: "CONNECT", Drop: true}}, []string{"deferred 421 4.4.2 ours"}},
		{"greeting of another protocol", "a", []testkit.MXRule{rule("CONNECT", "", "SSH-2.0-x")}, []string{"deferred 421 4.4.2 ours"}},
		{"EHLO unknown", "a", []testkit.MXRule{rule("EHLO", "", "500 what")}, []string{good}},
		{"EHLO and HELO refused", "a", []testkit.MXRule{rule("EHLO", "", "550 5.7.1 no"), rule("HELO", "", "550 5.7.1 no")}, []string{"deferred 550 5.7.1 theirs"}},
		{"MAIL 4xx", "a b", []testkit.MXRule{rule("MAIL", "", "451 4.7.1 later")}, []string{"deferred 451 4.7.1 theirs", "deferred 451 4.7.1 theirs"}},
		{"MAIL 5xx", "a", []testkit.MXRule{rule("MAIL", "", "550 5.7.1 not you")}, []string{"failed 550 5.7.1 theirs"}},
		{"MAIL 421", "a", []testkit.MXRule{rule("MAIL", "", "421 4.3.0 bye")}, []string{"deferred 421 4.3.0 theirs"}},
		{"RCPT of each kind", "a b c", []testkit.MXRule{rule("RCPT", "a@", "550 5.1.1 who"), rule("RCPT", "b@", "450 4.2.1 grey")},
			[]string{"failed 550 5.1.1 theirs", "deferred 450 4.2.1 theirs", good}},
		{"all RCPT refused", "a b", []testkit.MXRule{rule("RCPT", "", "550 5.1.1 who")}, []string{"failed 550 5.1.1 theirs", "failed 550 5.1.1 theirs"}},
		{"all RCPT refused, DATA taken", "a", []testkit.MXRule{rule("RCPT", "", "550 5.1.1 who"), rule("DATA", "", "354 go on")}, []string{"failed 550 5.1.1 theirs"}},
		{"RCPT 421", "a b", []testkit.MXRule{{Command: "RCPT", Contains: "b@", Reply: "421 4.3.2 bye", Hangup: true}},
			[]string{"deferred 421 4.3.2 theirs", "deferred 421 4.3.2 theirs"}},
		{"RCPT lost", "a b", []testkit.MXRule{{Command: "RCPT", Contains: "b@", Drop: true}}, []string{"deferred 421 4.4.2 ours", "deferred 421 4.4.2 ours"}},
		{"RCPT 552 with 5.5.3 first", "a", []testkit.MXRule{rule("RCPT", "", "552 5.5.3 many")}, []string{"deferred 552 5.5.3 theirs"}},
		{"RCPT 552 without a word about how many", "a", []testkit.MXRule{rule("RCPT", "", "552 mailbox full")}, []string{"failed 552 theirs"}},
		{"the dot 552", "a", []testkit.MXRule{rule("END", "", "552 too large")}, []string{"failed 552 theirs"}},
		{"DATA 4xx", "a", []testkit.MXRule{rule("DATA", "", "451 4.3.0 x")}, []string{"deferred 451 4.3.0 theirs"}},
		{"DATA 5xx", "a", []testkit.MXRule{rule("DATA", "", "554 5.6.0 x")}, []string{"failed 554 5.6.0 theirs"}},
		{"DATA 250 makes no sense", "a", []testkit.MXRule{rule("DATA", "", "250 2.0.0 x")}, []string{"deferred 421 4.4.2 ours"}},
		{"the dot 4xx", "a b", []testkit.MXRule{rule("END", "", "452 4.3.1 full")}, []string{"deferred 452 4.3.1 theirs", "deferred 452 4.3.1 theirs"}},
		{"the dot 5xx", "a", []testkit.MXRule{rule("END", "", "554-5.7.1 spam\n554 5.7.1 surely")}, []string{"failed 554 5.7.1 theirs"}},
		{"the dot 3xx makes no sense", "a", []testkit.MXRule{rule("END", "", "354 more")}, []string{"deferred 354 theirs"}},
		{"lost after the dot", "a", []testkit.MXRule{{Command: "END", Drop: true}}, []string{"deferred 421 4.4.2 ours"}},
		{"rubbish after the dot", "a", []testkit.MXRule{rule("END", "", "okay")}, []string{"deferred 421 4.4.2 ours"}},
		{"lost in the message", "a", []testkit.MXRule{{Command: "BODY", Drop: true}}, []string{"deferred 421 4.4.2 ours"}},
		{"silent after the dot", "a", []testkit.MXRule{{Command: "END", Stall: true}}, []string{"deferred 421 4.4.2 ours"}},
		{"silent after MAIL", "a", []testkit.MXRule{{Command: "MAIL", Stall: true}}, []string{"deferred 421 4.4.2 ours"}},
		{"slow, octet by octet", "a", []testkit.MXRule{{Command: "MAIL", Trickle: time.Millisecond}}, []string{good}},
	} {
		for _, keywords := range [][]string{nil, {"8BITMIME"}} {
			t.Run(fmt.Sprint(c.name, keywords), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.set.Timeouts = outbound.Timeouts{Greeting: time.Second, Command: time.Second, DataStart: time.Second, DataBlock: time.Second, DataEnd: time.Second}
				m := w.mx(testkit.MXOptions{Keywords: keywords}, c.rules...)
				var to []string
				for _, local := range strings.Fields(c.to) {
					to = append(to, local+"@x.test")
				}
				job := w.job(to...)
				got := w.deliver(t.Context(), job)[0]
				var sorted []queue.Outcome
				for _, r := range job.Recipients {
					for _, o := range got {
						if o.Recipient == r.ID {
							sorted = append(sorted, o)
						}
					}
				}
				w.want(sorted, c.want...)
				for _, o := range sorted {
					if o.Source.String() != "127.0.0.1" {
						t.Errorf("it went out from %v", o.Source)
					}
					if o.Ours && !o.Strained {
						t.Error("a host that was there and is gone bears less")
					}
				}
				for _, msg := range m.Messages() {
					if len(msg.Recipients) > 0 && string(msg.Data) != "X-Prefix: yes\r\n"+text {
						t.Errorf("data %q", msg.Data)
					}
				}
			})
		}
	}
}

func TestGreylistedComesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mx(testkit.MXOptions{},
		testkit.MXRule{Command: "RCPT", Contains: "a@", Reply: "450 4.2.0 <a@x.test>: Recipient address rejected: Greylisted"},
		testkit.MXRule{Command: "RCPT", Contains: "b@", Reply: "451 4.7.1 Greylisting in action, please come back in 00:02:00"},
		testkit.MXRule{Command: "RCPT", Contains: "c@", Reply: "451 4.3.0 Local error"})
	job := w.job("a@x.test", "b@x.test", "c@x.test")
	last := func(code int, enhanced, reply string, ours bool) {
		for i := range job.Recipients {
			r := &job.Recipients[i]
			r.Attempts++
			r.Code, r.Enhanced, r.Reply, r.Ours = code, enhanced, reply, ours
		}
	}
	const usual, asked = 5*time.Minute + 10*time.Second, 2*time.Minute + 5*time.Second
	for i, step := range []struct {
		before func()
		want   []time.Duration
	}{
		{func() {}, []time.Duration{usual, asked, 0}},
		// What was not told is waited for once.
		{func() { last(450, "4.2.0", "<a@x.test>: Recipient address rejected: Greylisted", false) }, []time.Duration{0, asked, 0}},
		{func() { last(421, "4.3.2", "Service not available", false) }, []time.Duration{usual, asked, 0}},
		{func() { last(451, "4.4.1", "No host could be reached: greylist.x.test refused", true) }, []time.Duration{usual, asked, 0}},
	} {
		step.before()
		for j, o := range w.deliver(t.Context(), job)[0] {
			if o.Result != queue.TryLater || o.Again != step.want[j] || o.Strained {
				t.Errorf("attempt %d of %s: %v, again in %v, want %v; the host is strained: %v", i+1, job.Recipients[j].Address, o.Result, o.Again, step.want[j], o.Strained)
			}
		}
	}
}

func TestNextHostAfterAGreetingThatRefuses(t *testing.T) {
	t.Parallel()
	for _, greeting := range []string{"421 busy", "554 5.7.1 no"} {
		w := newWorld(t, "x.test. 60 MX 10 m.test.", "x.test. 60 MX 20 n.test.", "m.test. 60 A 10.0.0.1", "n.test. 60 A 10.0.0.2")
		w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "CONNECT", Reply: greeting}))
		w.route("10.0.0.2:25", testkit.StartMX(t, testkit.MXOptions{}))
		got := w.send("a@x.test")
		w.want(got, good)
		if got[0].Host != "n.test" || got[0].Addr.String() != "10.0.0.2:25" || got[0].Reply != "Taken" {
			t.Errorf("outcome %+v", got[0])
		}
	}
}

func TestTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	job := w.job("a@x.test", `"q q"@x.test`)
	job.Message.EightBit, job.Message.UTF8 = true, true
	w.want(w.deliver(t.Context(), job)[0], good, good)
	var got []string
	for _, c := range m.Commands() {
		got = append(got, c.Line)
	}
	want := "EHLO us.test|MAIL FROM:<from@us.test> SIZE=44 BODY=8BITMIME|RCPT TO:<a@x.test>|RCPT TO:<\"q q\"@x.test>|DATA|QUIT"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("commands\n got %s\nwant %s", s, want)
	}
}

func TestReuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Contains: "bad@", Reply: "550 5.1.1 no"})
	w.set.MessagesPerConnection, w.set.IdleTimeout = 4, time.Minute
	got := w.deliver(t.Context(), w.job("a@x.test"), w.job("bad@x.test"), w.job("b@x.test"))
	w.want(got[0], good)
	w.want(got[1], "failed 550 5.1.1 theirs")
	w.want(got[2], good)
	w.want(w.send("c@x.test"), good) // the next worker takes the connection over
	if m.Connections() != 1 {
		t.Fatalf("%d connections", m.Connections())
	}
	w.want(w.send("d@x.test"), good) // four were enough for that one
	if m.Connections() != 2 {
		t.Errorf("%d connections", m.Connections())
	}
}

func TestADeadPooledConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]testkit.MXRule{
		"closed":       {Command: "END", Times: 1, Hangup: true},
		"421 at MAIL":  {Command: "MAIL", Nth: 2, Reply: "421 4.4.2 idle too long", Hangup: true},
		"lost at MAIL": {Command: "MAIL", Nth: 2, Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.mx(testkit.MXOptions{}, rule)
			w.set.IdleTimeout = time.Minute
			w.want(w.send("a@x.test"), good)
			w.want(w.send("b@x.test"), good)
			if m.Connections() != 2 || len(m.Messages()) != 2 {
				t.Errorf("%d connections, %d messages", m.Connections(), len(m.Messages()))
			}
		})
	}
}

// TestLeaveBeforeMail: a host that takes leave before MAIL, whether it closes or not, has
// nothing of the message, which waits with the host's words (RFC 5321 §3.8).
func TestLeaveBeforeMail(t *testing.T) {
	t.Parallel()
	const left = "deferred 421 4.3.2 theirs"
	for name, rule := range map[string]testkit.MXRule{
		"EHLO": {Command: "EHLO"}, "STARTTLS": {Command: "STARTTLS"}, "EHLO over TLS": {Command: "EHLO", Nth: 2},
	} {
		rule.Reply = "421 4.3.2 too busy"
		for _, demand := range []string{"", "required"} {
			for _, keywords := range dialects() {
				for _, closes := range []bool{false, true} {
					rule := rule
					rule.Hangup = closes
					t.Run(fmt.Sprint(name, demand, keywords, " closes: ", closes), func(t *testing.T) {
						t.Parallel()
						w := newWorld(t)
						w.options.Demand = func(string, string) outbound.Demand { return outbound.Demand{TLS: demand, From: "set"} }
						w.o.Close()
						w.o = outbound.New(w.options)
						m := w.mx(testkit.MXOptions{TLS: testkit.NewCA(t).ServerConfig(t, "mx.x.test"), Keywords: keywords}, rule)
						for _, o := range w.send("a@x.test", "b@x.test", "c@x.test") {
							w.want([]queue.Outcome{o}, left)
							if o.Reply != "too busy" {
								t.Errorf("%q", o.Reply)
							}
						}
						if n := len(m.Messages()); n > 0 || m.Connections() != 1 {
							t.Errorf("%d messages over %d connections", n, m.Connections())
						}
					})
				}
			}
		}
	}
}

// TestRsetIsAboutTheMessageBefore: whatever a host says to it, the next message goes out
// by another connection, in the same attempt.
func TestRsetIsAboutTheMessageBefore(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]testkit.MXRule{
		"unknown":         {Reply: "502 5.5.1 Command not implemented"},
		"too many errors": {Reply: "550 5.7.0 Too many errors on this connection"},
		"for now":         {Reply: "451 4.3.0 Local error"},
		"421":             {Reply: "421 4.3.2 bye", Hangup: true},
		"no reply":        {Reply: "okay"},
		"lost":            {Drop: true},
	} {
		rule.Command = "RSET"
		for _, keywords := range [][]string{nil, {"8BITMIME"}, {"CHUNKING"}, {"CHUNKING", "PIPELINING"}} {
			t.Run(fmt.Sprint(name, keywords), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				m := w.mx(testkit.MXOptions{Keywords: keywords}, rule, testkit.MXRule{Command: "RCPT", Contains: "a@", Reply: "450 4.2.0 greylisted"})
				got := w.deliver(t.Context(), w.job("a@x.test"), w.job("b@x.test"))
				w.want(got[0], "deferred 450 4.2.0 theirs")
				w.want(got[1], good)
				if m.Connections() != 2 || len(m.Messages()) != 1 {
					t.Errorf("%d connections, messages %+v", m.Connections(), m.Messages())
				}
			})
		}
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	w.set.IdleTimeout = 20 * time.Millisecond
	w.want(w.send("a@x.test"), good)
	m.WaitFor(10*time.Second, "QUIT", func() bool {
		c := m.Commands()
		return len(c) > 0 && c[len(c)-1].Line == "QUIT"
	})
}

func TestManyRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	var to []string
	for i := range 250 {
		to = append(to, fmt.Sprintf("u%d@x.test", i))
	}
	got := w.send(to...)
	var sizes []int
	for _, msg := range m.Messages() {
		sizes = append(sizes, len(msg.Recipients))
	}
	if len(got) != 250 || fmt.Sprint(sizes) != "[100 100 50]" || m.Connections() != 1 {
		t.Errorf("%d outcomes, transactions %v, %d connections", len(got), sizes, m.Connections())
	}
}

func TestTooManyRecipientsForTheRemote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply        string
		want         []string // in the order in which they are known
		transactions int
	}{
		{"452 4.5.3 too many", []string{good, good}, 2},
		{"452 Too many recipients", []string{good, good}, 2},
		{"452 4.3.1 out of space", []string{"deferred 452 4.3.1 theirs", good}, 1},
		{"552 Too many recipients", []string{good, good}, 2}, // RFC 821, RFC 5321 §4.5.3.1.10
		{"552 no more", []string{good, good}, 2},
		{"552 5.5.3 no more", []string{good, good}, 2},
		{"552 5.3.1 sorry, TOO MANY RECIPIENTS here", []string{good, good}, 2},
		{"552 5.2.2 mailbox full", []string{"failed 552 5.2.2 theirs", good}, 1},
		{"550 5.7.1 Too many recipients that do not exist", []string{"failed 550 5.7.1 theirs", good}, 1},
	} {
		t.Run(c.reply, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Contains: "b@", Times: 1, Reply: c.reply})
			w.want(w.send("a@x.test", "b@x.test"), c.want...)
			if n := len(m.Messages()); n != c.transactions {
				t.Errorf("%d transactions", n)
			}
		})
	}
}

// TestFullMailboxEnds: a bare 552 to the first recipient means what it says, and the
// others do not wait for it.
func TestFullMailboxEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Contains: "b@", Reply: "552 mailbox full"})
	w.want(w.send("a@x.test", "b@x.test", "c@x.test"), good, good, "failed 552 theirs")
	if n := len(m.Messages()); n != 1 {
		t.Errorf("%d transactions", n)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	t.Run("opportunistic, whatever the certificate", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		m := w.mx(testkit.MXOptions{TLS: ca.ServerConfig(t, "somebody.else.test")})
		got := w.send("a@x.test")
		w.want(got, good)
		if !strings.HasPrefix(got[0].TLS, "TLSv1.3 TLS_") || !m.Messages()[0].TLS {
			t.Errorf("TLS %q", got[0].TLS)
		}
	})
	t.Run("the handshake fails", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		m := w.mx(testkit.MXOptions{TLS: &tls.Config{}})
		got := w.send("a@x.test")
		w.want(got, good)
		if !strings.HasPrefix(got[0].TLS, "none: the handshake failed: ") || m.Connections() != 2 {
			t.Errorf("TLS %q, %d connections", got[0].TLS, m.Connections())
		}
	})
	t.Run("STARTTLS is refused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		m := w.mx(testkit.MXOptions{TLS: ca.ServerConfig(t, "m")}, testkit.MXRule{Command: "STARTTLS", Reply: "454 4.7.0 not now"})
		got := w.send("a@x.test")
		w.want(got, good)
		if !strings.HasPrefix(got[0].TLS, "none: STARTTLS was refused: 454") || m.Connections() != 1 {
			t.Errorf("TLS %q, %d connections", got[0].TLS, m.Connections())
		}
	})
	t.Run("what came before the handshake counts for nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.mx(testkit.MXOptions{TLS: ca.ServerConfig(t, "m")}, testkit.MXRule{Command: "STARTTLS", Times: 1, Reply: "220 go\n250-injected\n250 AUTH PLAIN"})
		got := w.send("a@x.test")
		w.want(got, good)
		if !strings.HasPrefix(got[0].TLS, "none: the handshake failed: ") {
			t.Errorf("TLS %q", got[0].TLS)
		}
	})
}

// knows is a host that has a password stored for SCRAM.
func knows(t *testing.T, password string) *sasl.Server {
	t.Helper()
	v, err := sasl.Derive(password, sasl.NewSalt(), sasl.Iterations)
	if err != nil {
		t.Fatal(err)
	}
	return &sasl.Server{Secret: []byte("s"), Verifiers: func(string) ([]sasl.Verifier, error) { return []sasl.Verifier{v}, nil }}
}

func TestSmartHost(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	for _, c := range []struct {
		name, mode, password string
		o                    testkit.MXOptions
		keywords             []string
		rules                []testkit.MXRule
		cert                 string
		want, login          string
	}{
		{name: "PLAIN over STARTTLS", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{Auth: true}, want: good, login: "me"},
		{name: "LOGIN", mode: "starttls", password: "p", cert: "smart.test", keywords: []string{"AUTH LOGIN"}, want: "deferred 535 5.7.8 theirs"},
		{name: "no TLS offered", mode: "starttls", password: "p", o: testkit.MXOptions{Auth: true}, want: "deferred 421 4.4.2 ours"},
		{name: "a wrong certificate", mode: "starttls", password: "p", cert: "other.test", o: testkit.MXOptions{Auth: true}, want: "deferred 421 4.4.2 ours"},
		{name: "no password in the clear", mode: "opportunistic", password: "p", o: testkit.MXOptions{Auth: true}, want: "deferred 450 4.7.11 ours"},
		{name: "no AUTH offered", mode: "starttls", password: "p", cert: "smart.test", want: "deferred 450 4.5.4 ours"},
		{name: "a wrong password delays", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{Auth: true},
			rules: []testkit.MXRule{{Command: "AUTH", Reply: "535 5.7.8 no"}}, want: "deferred 535 5.7.8 theirs"},
		{name: "no login", mode: "none", want: good},
		{name: "SCRAM", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{SASL: knows(t, "p")},
			keywords: []string{"AUTH SCRAM-SHA-256"}, want: good, login: "me"},
		{name: "SCRAM, bound to the connection", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{SASL: knows(t, "p")},
			keywords: []string{"AUTH SCRAM-SHA-1 SCRAM-SHA-256-PLUS"}, want: good, login: "me"},
		{name: "the password, where both are offered", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{Auth: true, SASL: knows(t, "else")},
			keywords: []string{"AUTH SCRAM-SHA-256"}, want: good, login: "me"},
		{name: "SCRAM with another password", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{SASL: knows(t, "else")},
			keywords: []string{"AUTH SCRAM-SHA-256"}, want: "deferred 535 5.7.8 theirs"},
		{name: "a host that does not know the password, and says 235", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{SASL: knows(t, "else")},
			keywords: []string{"AUTH SCRAM-SHA-256"}, rules: []testkit.MXRule{{Command: "AUTH", Reply: "235 2.7.0 yes"}}, want: "deferred 454 4.7.0 ours"},
		{name: "SCRAM with challenges that are none", mode: "starttls", password: "p", cert: "smart.test", o: testkit.MXOptions{SASL: knows(t, "p")},
			keywords: []string{"AUTH SCRAM-SHA-256"}, rules: []testkit.MXRule{{Command: "AUTH", Reply: "334 what?"}}, want: "deferred 454 4.7.0 ours"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "smart.test. 60 A 10.0.0.9")
			w.tls = ca.ClientConfig("")
			c.o.Keywords = c.keywords
			if c.cert != "" {
				c.o.TLS = ca.ServerConfig(t, c.cert)
			}
			m := testkit.StartMX(t, c.o, c.rules...)
			w.route("10.0.0.9:587", m)
			w.set.SmartHost = outbound.SmartHost{Host: "smart.test", Port: 587, TLS: c.mode, Password: c.password}
			if c.password != "" {
				w.set.SmartHost.User = "me"
			}
			outcomes := w.send("a@nowhere.test")
			w.want(outcomes, c.want)
			if outcomes[0].Unreached != (c.want != good) {
				t.Errorf("one message tries it for all: %+v", outcomes[0])
			}
			shown := map[string]string{"smart.test": ", verified (smart host)", "other.test": ", not verified: x509: certificate is valid for other.test, not smart.test (smart host)"}[c.cert]
			if told := outcomes[0].TLS; !strings.HasSuffix(told, shown) || strings.HasPrefix(told, "TLSv1.3 TLS_") != (shown != "") {
				t.Errorf("TLS %q", told)
			}
			if got := m.Messages(); c.want == good && (len(got) != 1 || got[0].Login != c.login) {
				t.Errorf("messages %+v", got)
			}
		})
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	w := newWorld(t, "smart.test. 60 A 10.0.0.9")
	w.tls = ca.ClientConfig("")
	m := testkit.StartMX(t, testkit.MXOptions{})
	front, err := tls.Listen("tcp", "127.0.0.1:0", ca.ServerConfig(t, "smart.test"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		proxyOne(front, m.Addr)
	}()
	t.Cleanup(func() {
		_ = front.Close()
		<-ended
	})
	w.routes["10.0.0.9:465"] = front.Addr().String()
	w.set.SmartHost = outbound.SmartHost{Host: "smart.test", Port: 465, TLS: "implicit"}
	got := w.send("a@nowhere.test")
	w.want(got, good)
	if !strings.HasPrefix(got[0].TLS, "TLSv1") || !strings.HasSuffix(got[0].TLS, ", verified (smart host)") {
		t.Errorf("TLS %q", got[0].TLS)
	}
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		keywords []string
		to       string
		change   func(*queue.Message, bodies)
		want     string
		params   string
	}{
		{"too big for the remote", []string{"SIZE 20"}, "a@x.test", nil, "failed 552 5.3.4 ours", ""},
		{"SIZE without a limit", []string{"SIZE"}, "a@x.test", nil, good, "SIZE=44"},
		{"nothing announced", []string{"HELP"}, "a@x.test", nil, good, ""},
		{"8-bit to a 7-bit host", []string{"SIZE"}, "a@x.test", func(_ *queue.Message, b bodies) { b[1] = "A: b\r\n\r\n\xe9\r\n" }, good, "SIZE=140"},
		{"8-bit and signed, to a 7-bit host", []string{"SIZE"}, "a@x.test", func(_ *queue.Message, b bodies) { b[1] = "DKIM-Signature: v=1\r\n\r\n\xe9\r\n" }, "failed 554 5.6.3 ours", ""},
		{"8-bit header to a 7-bit host", []string{"SIZE"}, "a@x.test", func(_ *queue.Message, b bodies) { b[1] = "A: \xc3\xa9\r\n\r\nx\r\n" }, "failed 554 5.6.3 ours", ""},
		{"lines that are too long", []string{"SIZE"}, "a@x.test", func(m *queue.Message, b bodies) {
			m.LongLines, b[1] = true, "A: b\r\n\r\n"+strings.Repeat("x", 999)+"\r\n"
		}, good, "SIZE=1171"},
		{"the same to an 8-bit host", []string{"SIZE", "8BITMIME"}, "a@x.test", func(m *queue.Message, b bodies) {
			m.LongLines, b[1] = true, "A: b\r\n\r\n"+strings.Repeat("x", 999)+"\r\n"
		}, good, "SIZE=1171"},
		{"too long, and signed", []string{"SIZE", "8BITMIME"}, "a@x.test", func(m *queue.Message, b bodies) {
			m.LongLines, b[1] = true, "DKIM-Signature: v=1\r\n\r\n"+strings.Repeat("x", 999)+"\r\n"
		}, "failed 554 5.6.0 ours", ""},
		{"too long in the header", []string{"SIZE", "8BITMIME"}, "a@x.test", func(m *queue.Message, b bodies) {
			m.LongLines, b[1] = true, "A: "+strings.Repeat("x", 999)+"\r\n\r\nx\r\n"
		}, "failed 554 5.6.0 ours", ""},
		{"7-bit content, declared 8-bit, to a 7-bit host", []string{"HELP"}, "a@x.test", func(m *queue.Message, _ bodies) { m.EightBit = true }, good, ""},
		{"a sender beyond ASCII", []string{"8BITMIME"}, "a@x.test", func(m *queue.Message, _ bodies) { m.UTF8, m.From.Local = true, "\u65e5" }, "failed 553 5.6.7 ours", ""},
		{"a recipient beyond ASCII", []string{"8BITMIME"}, "\u65e5@x.test", func(m *queue.Message, _ bodies) { m.UTF8 = true }, "failed 553 5.6.7 ours", ""},
		{"both", []string{"8BITMIME"}, "\u65e5@x.test", func(m *queue.Message, b bodies) { m.UTF8, b[1] = true, "Subject: \u65e5\r\n\r\nx\r\n" }, "failed 553 5.6.7 ours", ""},
		{"a header beyond ASCII", []string{"8BITMIME"}, "a@x.test", func(m *queue.Message, b bodies) { m.UTF8, b[1] = true, "Subject: \u65e5\r\n\r\nx\r\n" }, "failed 554 5.6.9 ours", ""},
		{"flagged UTF-8 but plain", []string{"8BITMIME"}, "a@x.test", func(m *queue.Message, _ bodies) { m.UTF8 = true }, good, ""},
		{"SMTPUTF8 where it is needed", []string{"8BITMIME", "SMTPUTF8"}, "\u65e5@x.test", func(m *queue.Message, _ bodies) { m.UTF8 = true }, good, "SMTPUTF8"},
		{"SMTPUTF8 for a header", []string{"8BITMIME", "SMTPUTF8"}, "a@x.test", func(m *queue.Message, b bodies) {
			m.UTF8, m.EightBit, b[1] = true, true, "Subject: \u65e5\r\n\r\nx\r\n"
		}, good, "BODY=8BITMIME SMTPUTF8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.mx(testkit.MXOptions{Keywords: c.keywords})
			job := w.job(c.to)
			if c.change != nil {
				c.change(job.Message, w.bodies)
			}
			w.want(w.deliver(t.Context(), job)[0], c.want)
			if got := m.Messages(); c.want == good && (len(got) != 1 || strings.Join(got[0].Params, " ") != c.params) {
				t.Errorf("messages %+v", got)
			}
		})
	}
}

func TestAMissingBodyIsTemporary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	job := w.job("a@x.test")
	job.Message.Body = 99
	w.want(w.deliver(t.Context(), job)[0], "deferred 451 4.3.0 ours")
	if m.Connections() != 0 {
		t.Error("a remote was bothered")
	}
}

func TestStopping(t *testing.T) {
	t.Parallel()
	t.Run("before the transaction nothing was tried", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "x.test. 60 A 10.0.0.1")
		w.routes["10.0.0.1:25"] = ""
		w.set.ConnectTimeout = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if got := w.deliver(ctx, w.job("a@x.test"), w.job("b@x.test")); len(got[0])+len(got[1]) != 0 {
			t.Errorf("outcomes %+v", got)
		}
	})
	t.Run("a transaction may finish within the grace", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		m := w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "END", Delay: 100 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			m.WaitFor(10*time.Second, "DATA", func() bool { return len(m.Commands()) >= 4 })
		}()
		w.want(w.deliver(ctx, w.job("a@x.test"))[0], good)
	})
}

// TestTheWishForReports is handed on to a host that knows DSN, and to no other.
func TestTheWishForReports(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keywords []string
		want     string
		reports  bool
	}{
		{[]string{"DSN"}, "MAIL FROM:<from@us.test> RET=HDRS ENVID=a+2Bb|RCPT TO:<a@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+3Db@y.test|RCPT TO:<b@x.test> NOTIFY=NEVER", true},
		{[]string{"8BITMIME"}, "MAIL FROM:<from@us.test>|RCPT TO:<a@x.test>|RCPT TO:<b@x.test>", false},
	} {
		w := newWorld(t)
		m := w.mx(testkit.MXOptions{Keywords: c.keywords})
		job := w.job("a@x.test", "b@x.test")
		job.Message.Ret, job.Message.EnvID = "HDRS", "a+b"
		job.Recipients[0].Notify, job.Recipients[0].ORCPT = mail.NotifySuccess|mail.NotifyDelay, "rfc822;a=b@y.test"
		job.Recipients[1].Notify = mail.NotifyNever
		got := w.deliver(t.Context(), job)[0]
		w.want(got, good, good)
		var lines []string
		for _, l := range m.Commands()[1:4] {
			lines = append(lines, l.Line)
		}
		if s := strings.Join(lines, "|"); s != c.want || got[0].Reports != c.reports {
			t.Errorf("%v: reports %v, commands %s", c.keywords, got[0].Reports, s)
		}
	}
}

// TestLimitsThatAreTold: a host that tells its limits is asked for no more.
func TestLimitsThatAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{Keywords: []string{"LIMITS RCPTMAX=2 MAILMAX=2"}})
	w.want(w.send("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"), good, good, good, good, good)
	var conns []int
	for _, msg := range m.Messages() {
		conns = append(conns, msg.Conn)
		if len(msg.Recipients) > 2 {
			t.Errorf("%d recipients at once", len(msg.Recipients))
		}
	}
	if len(conns) != 3 || conns[0] != conns[1] || conns[1] == conns[2] {
		t.Errorf("messages on connections %v", conns)
	}
}

// TestDomainsThatAreTold: a host that takes recipients of so many domains in a session gets no
// more of them in one, and those of one domain together.
func TestDomainsThatAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most int
		want string
	}{
		{1, "1:a@x.test,c@x.test 2:b@y.test 3:d@z.test"},
		{2, "1:a@x.test,b@y.test,c@x.test 2:d@z.test"},
		{3, "1:a@x.test,b@y.test,c@x.test,d@z.test"},
	} {
		w := newWorld(t)
		m := w.mx(testkit.MXOptions{Keywords: []string{fmt.Sprintf("LIMITS RCPTDOMAINMAX=%d", c.most)}})
		w.want(w.send("a@x.test", "b@y.test", "c@x.test", "d@z.test"), good, good, good, good)
		var got []string
		conns := map[int]int{}
		for _, msg := range m.Messages() {
			if conns[msg.Conn] == 0 {
				conns[msg.Conn] = len(conns) + 1
			}
			var to []string
			for _, r := range msg.Recipients {
				to = append(to, r.Address)
			}
			got = append(got, fmt.Sprintf("%d:%s", conns[msg.Conn], strings.Join(to, ",")))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("at most %d: %s, want %s", c.most, s, c.want)
		}
	}
}

// TestNoneOfADomainLeft: who was to go over a connection that has its domains may be refused
// before, and the others need another one.
func TestNoneOfADomainLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{Keywords: []string{"LIMITS RCPTDOMAINMAX=1"}})
	got := w.deliver(t.Context(), w.job("a@x.test"), w.job("ü@x.test", "b@y.test"))
	w.want(got[0], good)
	w.want(got[1], "failed 553 5.6.7 ours", good)
	if msgs := m.Messages(); len(msgs) != 2 || msgs[0].Conn == msgs[1].Conn {
		t.Errorf("%d messages over one connection", len(msgs))
	}
}

// TestConversion: what a 7-bit host gets is 7-bit, as long as it said, and the same
// message.
func TestConversion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bodies[1] = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n.grüße\r\n"
	m := w.mx(testkit.MXOptions{Keywords: []string{"SIZE"}})
	job := w.job("a@x.test")
	job.Message.EightBit = true
	w.want(w.deliver(t.Context(), job)[0], good)
	got := string(m.Messages()[0].Data)
	want := "X-Prefix: yes\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nLmdyw7zDn2UNCg==\r\n"
	if got != want {
		t.Errorf("data %q", got)
	}
	if line := m.Commands()[1].Line; line != fmt.Sprintf("MAIL FROM:<from@us.test> SIZE=%d", len(want)) {
		t.Errorf("said %s", line)
	}
}
