package smtpd_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/test/stack"
)

// TestAccessRules: each action as a peer sees it.
func TestAccessRules(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	for _, x := range []rule.Rule{
		{Name: "friend", Action: rule.Accept, Conditions: rule.Conditions{Senders: []string{"friend@bad.test"}}},
		{Name: "bad", Action: rule.Reject, Text: "Go away", Conditions: rule.Conditions{Senders: []string{"@bad.test"}}},
		{Name: "later", Action: rule.Defer, Conditions: rule.Conditions{Recipients: []string{"bob@hayauma.test"}, Senders: []string{"@slow.test"}}},
		{Name: "wait", Action: rule.Tarpit, Delay: 1, Conditions: rule.Conditions{Senders: []string{"@tar.test"}}},
		{Name: "letter", Action: rule.Tag, Tag: "letter", Conditions: rule.Conditions{Senders: []string{"@news.test"}}},
		{Name: "mark", Action: rule.Tag, Tag: "news", Conditions: rule.Conditions{Senders: []string{"@odd.test"}}},
		{Name: "odd", Action: rule.Quarantine, Conditions: rule.Conditions{Senders: []string{"@odd.test"}}},
		{Name: "named", Action: rule.Reject, Text: "Not by that name", Conditions: rule.Conditions{Reverse: []string{"*.dial.test"}}},
	} {
		if _, err := r.Rules.Add(t.Context(), x, rule.Place{}); err != nil {
			t.Fatal(err)
		}
	}
	c := r.open("1")
	c.say("EHLO client.test", "250")
	if got := c.say("MAIL FROM:<x@bad.test>", "550 5.7.1"); !strings.Contains(got, "Go away") {
		t.Error(got)
	}
	c.deliver("friend@bad.test", "Subject: a\r\n\r\na\r\n", "alice@hayauma.test")
	c.say("MAIL FROM:<x@slow.test>", "250")
	c.say("RCPT TO:<bob@hayauma.test>", "450 4.7.1")
	c.say("RCPT TO:<alice@hayauma.test>", "250")
	c.say("RSET", "250")
	started := time.Now()
	c.say("MAIL FROM:<x@tar.test>", "250")
	if took := time.Since(started); took < time.Second {
		t.Errorf("the tarpit took %v", took)
	}
	c.say("RSET", "250")
	held := c.deliver("x@odd.test", "Subject: b\r\n\r\nb\r\n", "alice@hayauma.test", "bob@hayauma.test")
	waiting := r.Queued()
	if len(waiting) != 1 || len(waiting[0].Recipients) != 2 || waiting[0].Recipients[0].State != queue.Held ||
		strings.Join(waiting[0].Tags, " ") != "news quarantine:odd" {
		t.Errorf("quarantine: %+v", waiting)
	}
	if d := r.Timeline(held)[0].Detail; d.Held != "odd" || strings.Join(d.Tags, " ") != "news quarantine:odd" {
		t.Errorf("the history of what is held: %+v", d)
	}
	tagged := c.deliver("x@news.test", "Subject: c\r\n\r\nc\r\n", "owner@catch.test")
	if d := r.Timeline(tagged)[0].Detail; d.Held != "" || strings.Join(d.Tags, " ") != "letter" {
		t.Errorf("the history of what is tagged and stays here: %+v", d)
	}
	if got := r.Inbox("alice@hayauma.test"); len(got) != 1 || !strings.Contains(got[0], "Subject: a") {
		t.Errorf("INBOX: %q", got)
	}
	if n, err := r.Queue.Release(t.Context(), queue.Filter{All: true}); err != nil || n.All() != 2 {
		t.Fatalf("released %+v, %v", n, err)
	}
}

// TestRulesOnRecipients: a rule says to an address that is guessed what it says to one
// that is there, and makes neither him exist nor us a relay.
func TestRulesOnRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, stack.Options{})
		r.change(func(s *smtpd.Settings) { s.CommandTimeout = time.Hour })
		for _, x := range []rule.Rule{
			{Name: "slow", Action: rule.Tarpit, Delay: 60, Conditions: rule.Conditions{Senders: []string{"@guess.test"}, Recipients: []string{"*@*"}}},
			{Name: "closed", Action: rule.Reject, Text: "Not by mail", Conditions: rule.Conditions{Senders: []string{"@closed.test"}, Recipients: []string{"@hayauma.test", "@ask.test"}}},
			{Name: "later", Action: rule.Defer, Conditions: rule.Conditions{Senders: []string{"@later.test"}, Recipients: []string{"@hayauma.test"}}},
			{Name: "held", Action: rule.Quarantine, Conditions: rule.Conditions{Senders: []string{"@held.test"}, Recipients: []string{"*@*"}}},
			{Name: "postmaster", Action: rule.Reject, Conditions: rule.Conditions{Senders: []string{"@pm.test"}, Recipients: []string{"postmaster@*.test"}}},
			{Name: "friend", Action: rule.Accept, Conditions: rule.Conditions{Senders: []string{"@friend.test"}, Recipients: []string{"*@*"}}},
		} {
			if _, err := r.Rules.Add(t.Context(), x, rule.Place{}); err != nil {
				t.Fatal(err)
			}
		}
		c := r.open("1")
		c.say("EHLO client.test", "250")
		for _, row := range []struct {
			from, to, want string
			delay          time.Duration
		}{
			{"guess", "bob@hayauma.test", "250 2.1.5", time.Minute},
			{"guess", "nobody@hayauma.test", "550 5.1.1", time.Minute},
			{"guess", "x@elsewhere.test", "550 5.7.1 We do not relay", time.Minute},
			{"closed", "bob@hayauma.test", "550 5.7.1 Not by mail", 0},
			{"closed", "nobody@hayauma.test", "550 5.7.1 Not by mail", 0},
			{"closed", "down@ask.test", "550 5.7.1 Not by mail", 0},
			{"closed", "nobody@list.test", "550 5.1.1", 0},
			{"closed", "x@elsewhere.test", "550 5.7.1 We do not relay", 0},
			{"later", "bob@hayauma.test", "450 4.7.1", 0},
			{"later", "nobody@hayauma.test", "450 4.7.1", 0},
			{"held", "bob@hayauma.test", "250 2.1.5", 0},
			{"held", "nobody@hayauma.test", "550 5.1.1", 0},
			{"held", "x@elsewhere.test", "550 5.7.1 We do not relay", 0},
			{"pm", "postmaster@hayauma.test", "550 5.7.1", 0},
			{"pm", "postmaster", "550 5.7.1", 0},
			{"pm", "Postmaster@[6.6.6.6]", "550 5.7.1", 0},
			{"pm", "bob@hayauma.test", "250 2.1.5", 0},
			{"friend", "postmaster@[6.6.6.6]", "250 2.1.5", 0},
			{"friend", "bob@hayauma.test", "250 2.1.5", 0},
			{"friend", "nobody@hayauma.test", "550 5.1.1", 0},
			{"friend", "x@elsewhere.test", "550 5.7.1 We do not relay", 0},
		} {
			c.say("MAIL FROM:<x@"+row.from+".test>", "250")
			started := time.Now()
			c.send("RCPT TO:<" + row.to + ">\r\n")
			if err := c.conn.SetReadDeadline(started.Add(2 * time.Minute)); err != nil {
				t.Fatal(err)
			}
			got, err := c.in.ReadString('\n')
			if took := time.Since(started); err != nil || !strings.HasPrefix(got, row.want) || took < row.delay || took > row.delay+time.Second {
				t.Errorf("%s to %s: %q after %v, %v; want %s after %v", row.from, row.to, got, took, err, row.want, row.delay)
			}
			c.say("RSET", "250")
		}
	})
}

// TestSendLimits: a submission beyond the limits is put off, and says why.
func TestSendLimits(t *testing.T) {
	t.Parallel()
	var limits rate.Limits
	limits[1], limits[4] = 3, 4 // messages and recipients within an hour
	r := newRig(t, stack.Options{SendLimits: limits})
	c := r.open("3")
	c.say("EHLO client.test", "250")
	c.say("AUTH PLAIN "+plainAlice, "235")
	c.deliver("alice@hayauma.test", "Subject: a\r\n\r\na\r\n", "bob@hayauma.test", "alice@hayauma.test")
	c.say("MAIL FROM:<alice@hayauma.test>", "250")
	c.say("RCPT TO:<nobody@hayauma.test>", "550")
	c.say("RCPT TO:<bob@hayauma.test>", "250")
	c.say("RCPT TO:<alice@hayauma.test>", "250")
	c.say("RCPT TO:<x@elsewhere.test>", "450 4.7.1")
	c.say("RSET", "250") // nothing was sent, so nothing is counted
	for range 2 {
		c.deliver("alice@hayauma.test", "Subject: a\r\n\r\na\r\n", "bob@hayauma.test")
	}
	if got := c.say("MAIL FROM:<alice@hayauma.test>", "450 4.7.1"); !strings.Contains(got, "hour") {
		t.Error(got)
	}
	other := r.open("1") // mail from others is not counted
	other.say("EHLO client.test", "250")
	for range 5 {
		other.deliver("x@elsewhere.test", "Subject: a\r\n\r\na\r\n", "bob@hayauma.test")
	}
}

// TestOpenTransactionsKeepNoRoom: whoever only begins messages stops no others, and
// never is a limit exceeded.
func TestOpenTransactionsKeepNoRoom(t *testing.T) {
	t.Parallel()
	var limits rate.Limits
	limits[1] = 2 // messages within an hour
	r := newRig(t, stack.Options{SendLimits: limits})
	open := func() *client {
		c := r.open("3")
		c.say("EHLO client.test", "250")
		c.say("AUTH PLAIN "+plainAlice, "235")
		c.say("MAIL FROM:<alice@hayauma.test>", "250")
		c.say("RCPT TO:<bob@hayauma.test>", "250")
		return c
	}
	idle, chunks := open(), open()
	idle.say("DATA", "354")
	chunks.send("BDAT 14\r\nSubject: a\r\n\r\n")
	chunks.expect("250")
	c := open()
	c.say("RSET", "250")
	for range 2 {
		c.deliver("alice@hayauma.test", "Subject: a\r\n\r\na\r\n", "bob@hayauma.test")
	}
	idle.say("Subject: a\r\n\r\na\r\n.", "450 4.7.1 This account has reached its limit of 2 messages")
	chunks.say("BDAT 3 LAST\r\na", "450 4.7.1 This account has reached its limit of 2 messages")
	if got := r.Inbox("bob@hayauma.test"); len(got) != 2 {
		t.Errorf("%d messages", len(got))
	}
}

// TestRuleOnANameOfAFront: what a front has looked up is not looked up again, and is not
// taken for the name of the next address.
func TestRuleOnANameOfAFront(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	_, err := r.Rules.Add(t.Context(), rule.Rule{Name: "named", Action: rule.Reject, Conditions: rule.Conditions{Reverse: []string{"*.dial.test"}}}, rule.Place{})
	if err != nil {
		t.Fatal(err)
	}
	r.reverse.Store(func(context.Context, netip.Addr) (string, error) { return "looked-up.dial.test", nil })
	c := r.open("6")
	for _, step := range [][2]string{
		{"XCLIENT NAME=x.dial.test ADDR=203.0.113.5", "550 5.7.1"},
		{"XCLIENT ADDR=203.0.113.6 NAME=mx.good.test", "250"},
		{"XCLIENT PORT=4000", "250"},
		{"XCLIENT ADDR=203.0.113.7", "550 5.7.1"},
		{"XCLIENT NAME=[UNAVAILABLE] ADDR=203.0.113.8", "550 5.7.1"},
	} {
		c.say(step[0], "220")
		c.say("EHLO client.test", "250")
		c.say("MAIL FROM:<x@elsewhere.test>", step[1])
		c.say("RSET", "250")
	}
}

// TestRuleOnAName: a name that cannot be looked up puts the peer off.
func TestRuleOnAName(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	_, err := r.Rules.Add(t.Context(), rule.Rule{Name: "named", Action: rule.Reject, Conditions: rule.Conditions{Reverse: []string{"*.dial.test"}}}, rule.Place{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"x.dial.test": "550 5.7.1", "mx.good.test": "250", "": "250", "fails": "451 4.3.0"} {
		r.reverse.Store(func(context.Context, netip.Addr) (string, error) {
			if name == "fails" {
				return "", errors.New("no answer")
			}
			return name, nil
		})
		c := r.open("1")
		c.say("EHLO client.test", "250")
		c.say("MAIL FROM:<x@elsewhere.test>", want)
	}
}
