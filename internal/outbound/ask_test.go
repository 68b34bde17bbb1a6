package outbound_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestAskRecipient(t *testing.T) {
	t.Parallel()
	rcpt := func(reply string) testkit.MXRule { return testkit.MXRule{Command: "RCPT", Reply: reply} }
	for _, c := range []struct {
		name  string
		rules []testkit.MXRule
		to    string
		want  callahead.Verdict
		reply string
	}{
		{"taken", nil, "u@x.test", callahead.Taken, "250"},
		{"nobody", []testkit.MXRule{rcpt("550 5.1.1 who?")}, "u@x.test", callahead.Refused, "550 who?"},
		{"later", []testkit.MXRule{rcpt("450 4.2.0 greylisted")}, "u@x.test", callahead.Later, "450 greylisted"},
		{"we are refused at RCPT", []testkit.MXRule{rcpt("554 5.7.1 relay access denied")}, "u@x.test", callahead.Barred, "554"},
		{"we or he, in words alone", []testkit.MXRule{rcpt("550 relay not permitted")}, "u@x.test", callahead.Vague, "550 relay"},
		{"we are refused at MAIL", []testkit.MXRule{{Command: "MAIL", Reply: "550 5.1.1 no null sender"}}, "u@x.test", callahead.Silent, "MAIL was answered: m.test: 550"},
		{"we are refused at once", []testkit.MXRule{{Command: "CONNECT", Reply: "554 5.1.1 go away"}}, "u@x.test", callahead.Silent, "go away"},
		{"refused at EHLO and HELO", []testkit.MXRule{{Command: "EHLO", Reply: "550 no"}, {Command: "HELO", Reply: "550 5.1.1 no"}}, "u@x.test", callahead.Silent, "no"},
		{"closing", []testkit.MXRule{{Command: "RCPT", Reply: "421 4.3.2 closing", Hangup: true}}, "u@x.test", callahead.Silent, "421"},
		{"silent at RCPT", []testkit.MXRule{{Command: "RCPT", Stall: true}}, "u@x.test", callahead.Silent, "timed out"},
		{"silent from the beginning", []testkit.MXRule{{Command: "CONNECT", Stall: true}}, "u@x.test", callahead.Silent, "timed out"},
		{"it hangs up", []testkit.MXRule{{Command: "RCPT", Drop: true}}, "u@x.test", callahead.Silent, "closed by the remote"},
		{"beyond ASCII", []testkit.MXRule{{Command: "MAIL", Contains: "SMTPUTF8", Reply: "250 ok"}}, "ü@x.test", callahead.Taken, "250"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "m.test. 60 A 10.0.0.1")
			mx := testkit.StartMX(t, testkit.MXOptions{}, c.rules...)
			w.route("10.0.0.1:2525", mx)
			w.relays = map[string]*outbound.Relay{"x.test": hops(route.Host{Name: "m.test", Port: 2525})}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got := w.o.AskRecipient(ctx, "x.test", w.address(c.to))
			if got.Verdict != c.want || !strings.Contains(got.Reply, c.reply) {
				t.Errorf("%+v, want %d with %q", got, c.want, c.reply)
			}
			for _, cmd := range mx.Commands() {
				if verb := strings.ToUpper(strings.Fields(cmd.Line)[0]); verb == "DATA" || verb == "BDAT" {
					t.Errorf("it sent %q", cmd.Line)
				}
				if strings.HasPrefix(cmd.Line, "MAIL") && !strings.HasPrefix(cmd.Line, "MAIL FROM:<>") {
					t.Errorf("it sent %q", cmd.Line)
				}
			}
		})
	}
}

// One host that swallows everything does not use up the time of the next.
func TestAskTheSecondHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set.ConnectTimeout = time.Minute
	w.route("10.0.0.2:25", testkit.StartMX(t, testkit.MXOptions{}))
	w.routes["10.0.0.1:25"] = ""
	w.relays = map[string]*outbound.Relay{"x.test": hops(route.Host{Name: "10.0.0.1"}, route.Host{Name: "10.0.0.2"})}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if got := w.o.AskRecipient(ctx, "x.test", w.address("u@x.test")); got.Verdict != callahead.Taken {
		t.Errorf("%+v", got)
	}
}

// TestAskTheNextHost: where mail would be offered to the next host, that one is asked; what
// the first says of the mailbox, of a rule or of us is not asked of others.
func TestAskTheNextHost(t *testing.T) {
	t.Parallel()
	at := func(command, reply string) []testkit.MXRule {
		return []testkit.MXRule{{Command: command, Reply: reply}}
	}
	nobody := at("RCPT", "550 5.1.1 who?")
	for _, c := range []struct {
		name          string
		first, second []testkit.MXRule
		want          callahead.Verdict
		asked         bool // the second host
	}{
		{"no room at MAIL", at("MAIL", "452 4.3.1 Insufficient system resources"), nobody, callahead.Refused, true},
		{"and the second takes it", at("MAIL", "452 4.3.1 Insufficient system resources"), nil, callahead.Taken, true},
		{"too much mail from us", at("MAIL", "421 4.7.28 unusual rate"), nobody, callahead.Refused, true},
		{"no reports", at("MAIL", "550 5.7.1 no null sender"), nobody, callahead.Refused, true},
		{"lost at MAIL", []testkit.MXRule{{Command: "MAIL", Drop: true}}, nobody, callahead.Refused, true},
		{"lost at RCPT", []testkit.MXRule{{Command: "RCPT", Drop: true}}, nobody, callahead.Refused, true},
		{"its look-up fails", at("RCPT", "451 4.3.5 lookup failure"), nobody, callahead.Refused, true},
		{"it closes", []testkit.MXRule{{Command: "RCPT", Reply: "421 4.3.2 closing", Hangup: true}}, nobody, callahead.Refused, true},
		{"both put off", at("RCPT", "451 4.3.5 lookup failure"), at("RCPT", "451 4.3.5 lookup failure"), callahead.Later, true},
		{"the second cannot be asked", at("RCPT", "451 4.3.5 lookup failure"), at("MAIL", "550 5.7.1 no null sender"), callahead.Later, true},
		{"the second does not let us in", at("RCPT", "451 4.3.5 lookup failure"), at("CONNECT", "554 5.7.1 go away"), callahead.Later, false},
		{"greylisting", at("RCPT", "451 4.7.1 Greylisted, come back later"), nil, callahead.Later, false},
		{"a busy mailbox", at("RCPT", "450 busy"), nil, callahead.Later, false},
		{"nobody", nobody, nil, callahead.Refused, false},
		{"a rule", at("RCPT", "554 5.7.1 members only"), nil, callahead.Barred, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			hosts := w.exchangers(2, c.first, c.second)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			got := w.o.AskRecipient(ctx, "x.test", w.address("u@x.test"))
			asked := slices.ContainsFunc(hosts[1].Commands(), func(c testkit.MXCommand) bool { return strings.HasPrefix(c.Line, "MAIL") })
			if got.Verdict != c.want || asked != c.asked {
				t.Errorf("%+v, want %s; the second host was asked: %v", got, c.want, asked)
			}
		})
	}
}

func TestAskWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "m.test. 60 A 10.0.0.1", "us.test. 60 A 10.0.0.9", "nat.test. 60 MX 10 mx.nat.test.", "mx.nat.test. 60 A 10.0.0.2")
	us := testkit.StartMX(t, testkit.MXOptions{Hostname: "us.test"})
	w.route("10.0.0.2:25", us)
	w.relays = map[string]*outbound.Relay{"down.test": hops(route.Host{Name: "m.test"}), "loop.test": hops(route.Host{Name: "us.test"}), "nat.test": hops()}
	for to, want := range map[string]string{"u@down.test": "connection refused", "u@loop.test": "leads back", "u@nowhere.test": "does not exist", "u@nat.test": "leads back"} {
		if got := w.o.AskRecipient(t.Context(), w.address(to).Domain.ASCII, w.address(to)); got.Verdict != callahead.Silent || !strings.Contains(got.Reply, want) {
			t.Errorf("%s: %+v", to, got)
		}
	}
	for _, cmd := range us.Commands() {
		if !strings.HasPrefix(cmd.Line, "EHLO") && cmd.Line != "QUIT" {
			t.Errorf("it asked itself: %s", cmd.Line)
		}
	}
}

// Questions share their connection, with each other and with the mail.
func TestAskKeepsItsConnection(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	w := newWorld(t, "m.test. 60 A 10.0.0.1")
	w.set.IdleTimeout = time.Minute
	w.tls = ca.ClientConfig("")
	mx := testkit.StartMX(t, testkit.MXOptions{TLS: ca.ServerConfig(t, "m.test")}, testkit.MXRule{Command: "RCPT", Contains: "gone", Reply: "550 5.1.1 who?"})
	w.route("10.0.0.1:25", mx)
	relay := hops(route.Host{Name: "m.test"})
	relay.Verify = true
	w.relays = map[string]*outbound.Relay{"x.test": relay}
	ask := func(to string) callahead.Verdict {
		return w.o.AskRecipient(t.Context(), "x.test", mail.Address{Local: to, Domain: mail.Domain{ASCII: "x.test"}}).Verdict
	}
	if a, b := ask("here"), ask("gone"); a != callahead.Taken || b != callahead.Refused {
		t.Errorf("here %d, gone %d", a, b)
	}
	w.want(w.send("here@x.test"), "delivered 250 2.0.0 theirs")
	if ask("here") != callahead.Taken || mx.Connections() != 1 {
		t.Errorf("%d connections", mx.Connections())
	}
	m := mx.Messages()
	if len(m) != 1 || len(m[0].Recipients) != 1 || !m[0].TLS {
		t.Errorf("%+v", m)
	}
	// The host closed the connection meanwhile.
	mx.SetRules(testkit.MXRule{Command: "RSET", Drop: true, Times: 1})
	if ask("here") != callahead.Taken || mx.Connections() != 2 {
		t.Errorf("%d connections", mx.Connections())
	}
}

// TestAskOnAKeptConnection: that the host ends one, which it may do to who names too many that
// are not there, has the question put on a new one.
func TestAskOnAKeptConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		rule        testkit.MXRule
		want        callahead.Verdict
		connections int
	}{
		{"421 at RSET", testkit.MXRule{Command: "RSET", Times: 1, Reply: "421 4.7.0 Too many nonmail commands", Hangup: true}, callahead.Taken, 2},
		{"554 at RSET", testkit.MXRule{Command: "RSET", Times: 1, Reply: "554 Too many nonmail commands", Hangup: true}, callahead.Taken, 2},
		{"554 at RSET, and it stays", testkit.MXRule{Command: "RSET", Times: 1, Reply: "554 no more of that"}, callahead.Taken, 2},
		{"421 at MAIL", testkit.MXRule{Command: "MAIL", Times: 1, Reply: "421 too many messages on this connection", Hangup: true}, callahead.Taken, 2},
		{"421 at RCPT", testkit.MXRule{Command: "RCPT", Times: 1, Reply: "421 4.7.0 Too many errors", Hangup: true}, callahead.Taken, 2},
		{"421 on the new one as well", testkit.MXRule{Command: "RCPT", Reply: "421 4.7.0 Too many errors", Hangup: true}, callahead.Silent, 2},
		{"a refusal of MAIL", testkit.MXRule{Command: "MAIL", Reply: "550 5.7.1 no null sender"}, callahead.Silent, 1},
		{"nobody", testkit.MXRule{Command: "RCPT", Reply: "550 5.1.1 who?"}, callahead.Refused, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set.IdleTimeout = time.Minute
			mx := w.exchangers(1)[0]
			if got := w.o.AskRecipient(t.Context(), "x.test", w.address("a@x.test")); got.Verdict != callahead.Taken {
				t.Fatalf("%+v", got)
			}
			mx.SetRules(c.rule)
			if got := w.o.AskRecipient(t.Context(), "x.test", w.address("u@x.test")); got.Verdict != c.want || mx.Connections() != c.connections {
				t.Errorf("%+v by %d connections, want %s by %d", got, mx.Connections(), c.want, c.connections)
			}
		})
	}
}
