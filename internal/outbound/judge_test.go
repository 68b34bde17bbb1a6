package outbound_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/testkit"
)

// judged is a world whose operator has something to say on these words, and counts how
// often he is asked.
func judged(t *testing.T, rulings map[string]outbound.Ruling) (w *world, asked *int) {
	t.Helper()
	w, asked = newWorld(t), new(int)
	w.options.Judge = func(provider string, r outbound.Reply) outbound.Ruling {
		*asked++
		if provider != "x.test" {
			t.Errorf("asked about %q", provider)
		}
		for words, ruling := range rulings {
			if strings.Contains(r.Text, words) {
				ruling.Why = "rule " + words
				return ruling
			}
		}
		return outbound.Ruling{}
	}
	w.o = outbound.New(w.options)
	return w, asked
}

// TestJudged: what a remote says is taken as the operator says, for those to whom it
// was said, with the remote's own words; what is accepted stays accepted.
func TestJudged(t *testing.T) {
	t.Parallel()
	w, _ := judged(t, map[string]outbound.Ruling{
		"inactive": {Turn: true}, "blocked": {Turn: true}, "Thanks": {Turn: true},
	})
	m := w.mx(testkit.MXOptions{},
		testkit.MXRule{Command: "RCPT", Contains: "<a@", Reply: "450 4.2.1 Mailbox inactive"},
		testkit.MXRule{Command: "RCPT", Contains: "<b@", Reply: "554 5.7.1 You are blocked"},
		testkit.MXRule{Command: "RCPT", Contains: "<c@", Reply: "550 5.1.1 unknown"},
		testkit.MXRule{Command: "RCPT", Contains: "<d@", Reply: "450 4.7.0 later"},
		testkit.MXRule{Command: "END", Reply: "250 2.0.0 Thanks"})
	got := w.send("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test")
	w.want(got, "failed 450 4.2.1 theirs", "deferred 554 5.7.1 theirs", "failed 550 5.1.1 theirs", "deferred 450 4.7.0 theirs", "delivered 250 2.0.0 theirs")
	for i, want := range []string{"made final by rule inactive", "to be tried again by rule blocked", "", "", ""} {
		if got[i].Rule != want {
			t.Errorf("%s: %q, want %q", got[i].Reply, got[i].Rule, want)
		}
	}
	if got[0].Reply != "Mailbox inactive" || got[0].Again != 0 || m.Connections() != 1 {
		t.Errorf("%+v", got[0])
	}
}

// TestOurFindingsAreNotJudged: a rule is about what others say; that a host could not
// be reached is no reply, whatever the words.
func TestOurFindingsAreNotJudged(t *testing.T) {
	t.Parallel()
	w, asked := judged(t, map[string]outbound.Ruling{"": {Turn: true}})
	w.dns.Add("x.test. 60 MX 10 mx.x.test.", "mx.x.test. 60 A 10.0.0.1")
	got := w.send("a@x.test")
	w.want(got, "deferred 451 4.4.1 ours")
	if *asked != 0 || got[0].Rule != "" {
		t.Errorf("asked %d times: %+v", *asked, got[0])
	}
	w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Drop: true})
	if got := w.send("a@x.test"); got[0].Result.String() != "deferred" || !got[0].Ours {
		t.Errorf("%+v", got[0])
	}
}

// TestOneReplyIsJudgedOnce: what was said to all recipients counts once.
func TestOneReplyIsJudgedOnce(t *testing.T) {
	t.Parallel()
	w, asked := judged(t, map[string]outbound.Ruling{"spam": {Turn: true}})
	w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "END", Reply: "451 4.7.1 Looks like spam"})
	got := w.send("a@x.test", "b@x.test", "c@x.test")
	w.want(got, "failed 451 4.7.1 theirs", "failed 451 4.7.1 theirs", "failed 451 4.7.1 theirs")
	if *asked != 1 {
		t.Errorf("asked %d times", *asked)
	}
	if got := w.send("a@x.test"); got[0].Rule == "" || *asked != 2 {
		t.Errorf("asked %d times: %+v", *asked, got)
	}
}

// TestDroppedConnection: the transaction goes on, and the connection has none after it.
func TestDroppedConnection(t *testing.T) {
	t.Parallel()
	for _, leave := range []bool{false, true} {
		w, _ := judged(t, map[string]outbound.Ruling{"busy": {Leave: leave}})
		w.set.IdleTimeout = time.Minute
		m := w.mx(testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Contains: "<a@", Times: 1, Reply: "450 4.3.2 busy"})
		got := w.deliver(t.Context(), w.job("a@x.test", "b@x.test"), w.job("c@x.test"))
		w.want(got[0], "deferred 450 4.3.2 theirs", good)
		w.want(got[1], good)
		w.want(w.send("d@x.test"), good) // over the connection that was kept
		want := 1
		if leave {
			want = 2
		}
		if m.Connections() != want || (got[0][0].Rule != "") != leave {
			t.Errorf("leave %v: %d connections, want %d; %q", leave, m.Connections(), want, got[0][0].Rule)
		}
	}
}

// TestARuleIsForTheHostThatSpoke: a domain may name a provider's host before another's.
func TestARuleIsForTheHostThatSpoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "evil.test. 60 MX 10 nosuch.big.test.", "evil.test. 60 MX 20 mx.evil.test.", "mx.evil.test. 60 A 10.0.0.1",
		"firm.test. 60 MX 10 mx.big.test.", "mx.big.test. 60 A 10.0.0.1")
	w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "RCPT", Reply: "421 4.7.0 [TSS04]"}))
	for site, want := range map[string]string{"evil.test": "evil.test", "firm.test": "big.test"} {
		var asked []string
		w.options.Judge = func(provider string, _ outbound.Reply) outbound.Ruling {
			asked = append(asked, provider)
			return outbound.Ruling{}
		}
		w.o = outbound.New(w.options)
		w.want(w.send("a@"+site), "deferred 421 4.7.0 theirs")
		if len(asked) != 1 || asked[0] != want {
			t.Errorf("%s: asked about %q, want %s", site, asked, want)
		}
	}
}
