package smtpd_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/test/stack"
)

// TestEarlyTalkers: where we wait before the greeting, whoever does not is refused.
func TestEarlyTalkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	r.change(func(s *smtpd.Settings) { s.GreetingDelay = 300 * time.Millisecond })
	begin := func(door, says string) *client {
		conn, err := r.dialDoor(door)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // closed already by the server
		c := newClient(t, conn)
		if says != "" {
			c.send(says)
		}
		return c
	}
	early := begin("1", "EHLO client.test\r\n")
	early.expect("554 5.5.1 You spoke before your turn")
	early.expectEnd()

	started := time.Now()
	patient := begin("1", "")
	patient.expect("220")
	if waited := time.Since(started); waited < 300*time.Millisecond {
		t.Errorf("greeted after %v", waited)
	}
	patient.send("EHLO client.test\r\nMAIL FROM:<a@b.test>\r\n")
	patient.expect("554 5.5.1")
	patient.expectEnd()

	honest := begin("1", "")
	honest.expect("220")
	honest.say("EHLO client.test", "250")
	honest.send("MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@hayauma.test>\r\n")
	honest.expect("250")
	honest.expect("250")

	// RFC 2920 §3.1: DATA ends a group, and there are none without PIPELINING.
	honest.send("DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n")
	honest.expect("554 5.5.1")
	honest.expectEnd()
	old := begin("1", "")
	old.expect("220")
	old.say("HELO client.test", "250")
	old.say("MAIL FROM:<a@b.test>", "250")
	old.send("RCPT TO:<alice@hayauma.test>\r\nDATA\r\n")
	old.expect("554 5.5.1")
	old.expectEnd()

	user := begin("2", "EHLO client.test\r\n") // no other server is on this port
	user.expect("220")
	user.expect("250")
}

// TestEarlyTalkersInTLS: what comes in a record of its own comes early as well.
func TestEarlyTalkersInTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	r.change(func(s *smtpd.Settings) { s.GreetingDelay = time.Millisecond })
	for _, test := range []struct {
		name    string
		say     []string // and wait for its reply
		records []string
		later   int // octets that stay behind
		want    []string
	}{
		{"behind EHLO, in its record", nil, []string{"EHLO client.test\r\nMAIL FROM:<a@b.test>\r\n"}, 0, []string{"554 5.5.1"}},
		{"behind EHLO", nil, []string{"EHLO client.test\r\n", "MAIL FROM:<a@b.test>\r\n"}, 0, []string{"554 5.5.1"}},
		{"behind EHLO, half a record", nil, []string{"EHLO client.test\r\n", "MAIL FROM:<a@b.test>\r\n"}, 5, []string{"554 5.5.1"}},
		{"behind HELO", nil, []string{"HELO client.test\r\n", "MAIL FROM:<a@b.test>\r\n", "RCPT TO:<alice@hayauma.test>\r\n", "DATA\r\n"}, 0, []string{"554 5.5.1"}},
		{"without PIPELINING", []string{"HELO client.test"}, []string{"MAIL FROM:<a@b.test>\r\n", "RCPT TO:<alice@hayauma.test>\r\n"}, 0, []string{"554 5.5.1"}},
		{"behind DATA", []string{"EHLO client.test"}, []string{"MAIL FROM:<a@b.test>\r\n", "RCPT TO:<alice@hayauma.test>\r\n", "DATA\r\n", "Subject: x\r\n\r\nx\r\n.\r\n"}, 0, []string{"250", "250", "554 5.5.1"}},
		{"a record that is read in parts", []string{"EHLO client.test"}, []string{"MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@hayauma.test>\r\nNOOP " + strings.Repeat("x", 2048-65) + "\r\nDATA\r\n" + "Subject: x\r\n\r\nx\r\n.\r\n"}, 0, []string{"250", "250", "250", "554 5.5.1"}},
		{"PIPELINING", []string{"EHLO client.test"}, []string{"MAIL FROM:<a@b.test>\r\n", "RCPT TO:<alice@hayauma.test>\r\n", "DATA\r\n"}, 0, []string{"250", "250", "354"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, cork := r.secured(t, r.open("1"))
			for _, line := range test.say {
				c.say(line, "250")
			}
			cork.records(t, c, test.later, test.records...)
			for _, code := range test.want {
				c.expect(code)
			}
		})
	}
}

// TestTarpit: the more is refused, the longer it takes; what succeeds does not.
func TestTarpit(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	r.change(func(s *smtpd.Settings) { s.Tarpit = 20 * time.Millisecond })
	c := r.open("1")
	c.say("EHLO client.test", "250")
	timed := func(line, code string) time.Duration {
		started := time.Now()
		c.say(line, code)
		return time.Since(started)
	}
	for range 9 {
		timed("XYZZY", "500")
	}
	for i := range 6 {
		if took, least := timed("XYZZY", "500"), time.Duration(i+1)*20*time.Millisecond; took < least {
			t.Errorf("refusal %d took %v, not %v", i+10, took, least)
		}
	}
	quick := time.Hour
	for range 3 {
		quick = min(quick, timed("NOOP", "250"))
	}
	if quick > 100*time.Millisecond {
		t.Errorf("a command that succeeds took %v", quick)
	}
}

// TestManyRecipientsAreNoJunk: who sends to many is told to come again, not cut off.
func TestManyRecipientsAreNoJunk(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{Messages: func(s *intake.Settings) { s.Recipients = 3 }})
	c := r.open("8")
	c.say("EHLO client.test", "250")
	c.say("MAIL FROM:<a@b.test>", "250")
	for i := range 20 {
		code := "250"
		if i >= 3 {
			code = "452 4.5.3"
		}
		c.say("RCPT TO:<alice@hayauma.test>", code)
	}
	c.say("DATA", "354")
	c.say("Subject: x\r\n\r\nx\r\n.", "250")

	// Who goes on and on does not listen. The first 1000 are forgiven.
	c.say("MAIL FROM:<a@b.test>", "250")
	for range 3 {
		c.say("RCPT TO:<alice@hayauma.test>", "250")
	}
	for range 1004 {
		c.say("RCPT TO:<alice@hayauma.test>", "452 4.5.3")
	}
	c.say("RCPT TO:<alice@hayauma.test>", "452 4.5.3")
	c.expect("421 4.7.0")
	c.expectEnd()
}

// TestVerify: by setting, VRFY tells the truth.
func TestVerify(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	r.change(func(s *smtpd.Settings) { s.Verify = true })
	c := r.open("1")
	for arg, want := range map[string]string{
		"<alice@hayauma.test>": "250 2.1.5 <alice@hayauma.test>", "TEAM@hayauma.test": "250 2.1.5",
		"nobody@hayauma.test": "550 5.1.1", "x@elsewhere.test": "252 2.5.0", "alice": "252 2.5.0", "<nobody>": "252 2.5.0", "Alice Smith": "252 2.5.0", "": "501 5.5.4",
		"PostMaster": "250 2.1.5 <postmaster>", "<postmaster>": "250 2.1.5 <postmaster>", "<>": "501 5.1.3", "@": "501 5.1.3", "alice@": "501 5.1.3",
		"alice@hayauma.test SMTPUTF8": "250 2.1.5", "jürgen@hayauma.test smtputf8": "252 2.5.0", "jürgen@hayauma.test": "252 2.5.0",
	} {
		if got := c.say(strings.TrimSpace("VRFY "+arg), want[:3]); !strings.HasPrefix(got, want) {
			t.Error(fmt.Sprintf("VRFY %s: ", arg), got)
		}
	}
}

// TestNoReplyWaitsForOthers: a peer that sends a group of commands waits for each reply as
// long as that takes, and not for those of the whole group (RFC 5321 §4.5.3.2.3).
func TestNoReplyWaitsForOthers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, group string
		replies     int
		most        time.Duration // between two replies
	}{
		{"rules", "MAIL FROM:<a@b.test>\r\n" + strings.Repeat("RCPT TO:<alice@hayauma.test>\r\n", 20), 21, 60 * time.Second},
		{"refusals", strings.Repeat("XYZZY\r\n", 60), 60, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := slowRig(t)
				r.change(func(s *smtpd.Settings) { s.Tarpit = time.Second })
				_, err := r.Rules.Add(t.Context(), rule.Rule{Name: "slow", Action: rule.Tarpit, Delay: 60, Conditions: rule.Conditions{Recipients: []string{"*"}}}, rule.Place{})
				if err != nil {
					t.Fatal(err)
				}
				conn := r.dialed("1")
				c := newClient(t, conn)
				c.expect("220")
				c.say("EHLO client.test", "250")
				c.send(test.group)
				last := time.Now()
				for i := range test.replies {
					if err := conn.SetReadDeadline(last.Add(time.Hour)); err != nil {
						t.Fatal(err)
					}
					line, err := c.in.ReadString('\n')
					if took := time.Since(last); err != nil || took > test.most+time.Second {
						t.Fatalf("reply %d: %q, %v after %v", i, line, err, took)
					}
					last = time.Now()
				}
			})
		})
	}
}
