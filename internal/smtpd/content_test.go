package smtpd_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/test/stack"
)

func TestTraceOfAMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	c := r.open("1")
	c.say("EHLO client.test", "250")
	id := c.deliver("stranger@elsewhere.test", "Subject: one\r\n\r\nHello\r\n", "Alice+tag@hayauma.test")
	want := regexp.MustCompile(`^Return-Path: <stranger@elsewhere\.test>\r\n` +
		`Delivered-To: Alice\+tag@hayauma\.test\r\n` +
		`Received: from client\.test \(\[192\.0\.2\.7\]\)\r\n` +
		`\tby mx\.hayauma\.test with ESMTP id ` + id + `\r\n` +
		`\tfor <Alice\+tag@hayauma\.test>;\r\n` +
		`\t(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n` +
		`Subject: one\r\n\r\nHello\r\n$`)
	if got := r.Inbox("alice@hayauma.test"); len(got) != 1 || !want.MatchString(got[0]) {
		t.Errorf("INBOX: %q", got)
	}
	if got := r.Events(id); got != "accepted filed" {
		t.Errorf("events: %s", got)
	}
	first := r.Timeline(id)[0].Detail
	if first.Peer != "192.0.2.7:4321" || first.Helo != "client.test" || first.Subject != "one" || first.Door != "smtp" {
		t.Errorf("accepted event: %+v", first)
	}
}

// RFC 3848 and RFC 6531 §4.3: how the message came.
func TestProtocolOfTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	tests := []struct{ door, hello, params, want string }{
		{"1", "HELO", "", "with SMTP id"},
		{"1", "EHLO", "", "with ESMTP id"},
		{"1", "EHLO", " SMTPUTF8", "with UTF8SMTP id"},
		{"3", "EHLO", "", "with ESMTPSA id"},
		{"3", "EHLO", " SMTPUTF8", "with UTF8SMTPSA id"},
		{"4", "LHLO", "", "with LMTP id"},
		{"4", "LHLO", " SMTPUTF8", "with UTF8LMTP id"},
	}
	for _, test := range tests {
		c := r.open(test.door)
		c.say(test.hello+" client.test", "250")
		if test.door == "3" {
			c.say("AUTH PLAIN "+plainAlice, "235")
		}
		c.say("MAIL FROM:<alice@hayauma.test>"+test.params, "250")
		c.say("RCPT TO:<bob@hayauma.test>", "250")
		c.say("DATA", "354")
		c.say("Subject: one\r\n\r\nHello\r\n.", "250")
		all := r.Inbox("bob@hayauma.test")
		got := all[len(all)-1]
		if !strings.Contains(got, test.want) || strings.Contains(got, "\r\n\t(TLSv1.3 TLS_") != (test.door == "3") {
			t.Errorf("door %s %s%s: %q", test.door, test.hello, test.params, got)
		}
	}
}

// What leads from an address beyond ASCII to a host without SMTPUTF8 must not need it
// for our own field.
func TestTraceOfAnAddressBeyondASCII(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	r.Alias("\u592a\u90ce@hayauma.test", "bob@hayauma.test")
	c := r.open("1")
	c.say("EHLO client.test", "250")
	c.say("MAIL FROM:<x@y.test> SMTPUTF8", "250")
	c.say("RCPT TO:<\u592a\u90ce@hayauma.test>", "250")
	c.say("DATA", "354")
	c.say("Subject: one\r\n\r\nHello\r\n.", "250")
	if got := r.Inbox("bob@hayauma.test")[0]; !strings.Contains(got, "with UTF8SMTP id") || strings.Contains(got, "for <") {
		t.Errorf("bob got %q", got)
	}
}

func TestForgedHelo(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	c := r.open("1")
	c.say("EHLO a (b) <c>; d\"\\", "250")
	c.deliver("x@y.test", "Subject: one\r\n\r\nHello\r\n", "alice@hayauma.test", "bob@hayauma.test")
	got := r.Inbox("alice@hayauma.test")
	if len(got) != 1 || !strings.Contains(got[0], "Received: from abcd ([192.0.2.7])\r\n") || strings.Contains(got[0], "for <") {
		t.Errorf("INBOX: %q", got)
	}
}

// Missing fields are added for our own users only (RFC 6409 §8).
func TestMissingFields(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	tests := []struct {
		name, content, rest string
		date, id            bool // were added
	}{
		{"nothing is missing", "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <a@b>\r\n\r\nx\r\n", "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <a@b>\r\n\r\nx\r\n", false, false},
		{"Date is missing", "Message-Id: <a@b>\r\n\r\nx\r\n", "Message-Id: <a@b>\r\n\r\nx\r\n", true, false},
		{"both are missing", "Subject: a\r\n\r\nx\r\n", "Subject: a\r\n\r\nx\r\n", true, true},
		{"no blank line", "Subject: a\r\n", "Subject: a\r\n", true, true},
		{"no header, a blank line", "\r\nx\r\n", "\r\nx\r\n", true, true},
		{"no header at all", "Hello, how are you?\r\nx\r\n", "\r\nHello, how are you?\r\nx\r\n", true, true},
		{"no header, a body that begins with a blank", "  Indented first line\r\nplain second line\r\n", "\r\n  Indented first line\r\nplain second line\r\n", true, true},
		{"no header, a body in paragraphs", "\tBcc all of it\r\nBc c: no field\r\n\r\nX: y\r\n", "\r\n\tBcc all of it\r\nBc c: no field\r\n\r\nX: y\r\n", true, true},
		{"nothing", "", "\r\n", true, true},
		{"a Date only in the body", "Subject: a\r\n\r\nDate: x\r\nMessage-ID: y\r\n", "Subject: a\r\n\r\nDate: x\r\nMessage-ID: y\r\n", true, true},
		{
			"Bcc", "Date: 1 Jan 2026 00:00\r\nBcc: a@b.test,\r\n\tc@d.test\r\nMessage-ID: <a@b>\r\nBCC : e@f.test\r\nResent-Bcc: g@h.test\r\nTo: i@j.test\r\n\r\nBcc: in the body\r\n",
			"Date: 1 Jan 2026 00:00\r\nMessage-ID: <a@b>\r\nTo: i@j.test\r\n\r\nBcc: in the body\r\n", false, false,
		},
		{
			"what could be taken for Bcc", " Bcc: a@b.test\r\nDate: 1 Jan 2026 00:00\r\nBcc\r\n : c@d.test,\r\n\te@f.test\r\nMessage-ID: <a@b>\r\nResent-B\u200bcc: g@h.test\r\nBccs: i\r\n\r\nx\r\n",
			"Date: 1 Jan 2026 00:00\r\nMessage-ID: <a@b>\r\nBccs: i\r\n\r\nx\r\n", false, false,
		},
		{"both say nothing", "Message-ID:\r\nDate: nonsense\r\nSubject: a\r\n\r\nx\r\n", "Subject: a\r\n\r\nx\r\n", true, true},
		{"both are empty, and folded", "Subject: a\r\nMessage-Id: \r\n\t<>\r\nDate :\r\n \r\n\r\nx\r\n", "Subject: a\r\n\r\nx\r\n", true, true},
		{"the first of two says nothing", "Message-ID: < >\r\nMessage-ID: <a@b>\r\nDate: 1 Jan 2026 00:00\r\n\r\nx\r\n", "Date: 1 Jan 2026 00:00\r\n\r\nx\r\n", false, true},
		{
			"what can be read", "Message-ID: no.brackets@b\r\nDate: Thursday, 1-Jan-26 9:05 GMT (as it was written)\r\n\r\nx\r\n",
			"Message-ID: no.brackets@b\r\nDate: Thursday, 1-Jan-26 9:05 GMT (as it was written)\r\n\r\nx\r\n", false, false,
		},
		{"Return-Path", " Return-Path: <a@b.test>\r\nreturn-path : <a@b.test>\r\nSubject: a\r\nReturn-Paths: i\r\n\r\nReturn-Path: x\r\n", "Subject: a\r\nReturn-Paths: i\r\n\r\nReturn-Path: x\r\n", true, true},
		{"only Bcc", "bcc: a@b.test\r\n\r\nx\r\n", "\r\nx\r\n", true, true},
		{"a long header", "X: " + strings.Repeat("x ", 30_000) + "\r\n\r\nx\r\n", "X: " + strings.Repeat("x ", 30_000) + "\r\n\r\nx\r\n", true, true},
	}
	c := r.open("3")
	c.say("EHLO client.test", "250")
	c.say("AUTH PLAIN "+plainAlice, "235")
	relay := r.open("1")
	relay.say("EHLO client.test", "250")
	for i, test := range tests {
		c.deliver("alice@hayauma.test", test.content, "bob@hayauma.test")
		relay.deliver("x@y.test", test.content, "alice@hayauma.test")
		got, ours := r.Inbox("bob@hayauma.test")[i], r.Inbox("alice@hayauma.test")[i]
		_, got = cutTrace(got)
		var added []string
		if test.date {
			added = append(added, `Date: [^\r\n]*\r\n`)
		}
		if test.id {
			added = append(added, `Message-ID: <[0-9a-z]{13}@mx\.hayauma\.test>\r\n`)
		}
		want := regexp.MustCompile("^" + strings.Join(added, "") + regexp.QuoteMeta(test.rest) + "$")
		if !want.MatchString(got) {
			t.Errorf("%s: %.300q, want %.300q", test.name, got, want)
		}
		if _, plain := cutTrace(ours); strings.TrimPrefix(plain, "X-Unnamed: the message began with a folded line\r\n") != test.content {
			t.Errorf("%s, not a submission: %.300q", test.name, plain)
		}
	}
}

var trace = regexp.MustCompile(`^Return-Path: [^\r]*\r\nDelivered-To: [^\r]*\r\nReceived: [^\r]*\r\n(\t[^\r]*\r\n)+`)

// cutTrace takes off what we put before a message.
func cutTrace(message string) (ours, theirs string) {
	n := len(trace.FindString(message))
	return message[:n], message[n:]
}

func TestContentIsKeptAsItCame(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	c := r.open("1")
	c.say("EHLO client.test", "250")
	contents := []string{
		"Subject: dots\r\n\r\n..one\r\n...\r\n..\r\nx.\r\n",
		"Subject: eight bits\r\n\r\n\xff\x01\x80\r\n",
		"Subject: a long line\r\n\r\n" + strings.Repeat("x", 300_000) + "\r\n",
		"Subject: many lines\r\n\r\n" + strings.Repeat("line\r\n..\r\n", 40_000),
		"not a header\r\n",
		"\r\n",
		"",
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nbroken",
	}
	for i, content := range contents {
		if !strings.HasSuffix(content, "\n") && content != "" {
			content += "\r\n"
		}
		c.deliver("a@b.test", content, "alice@hayauma.test")
		want := strings.ReplaceAll(content, "\r\n.", "\r\n")
		if _, got := cutTrace(r.Inbox("alice@hayauma.test")[i]); got != want {
			t.Errorf("message %d: %.100q", i, got)
		}
	}
}

func TestLimitsOfAMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{Messages: func(s *intake.Settings) {
		s.MessageSize, s.HeaderSize, s.Recipients = 100_000, 10_000, 3
	}})
	c := r.open("1")
	c.say("EHLO client.test", "250")
	tests := []struct{ name, content, want string }{
		{"content too big", "Subject: a\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 6000), "552 5.3.4"},
		{"content just fits", "Subject: a\r\n\r\n" + strings.Repeat("x", 99_984) + "\r\n", "250"},
		{"header too big", "X: " + strings.Repeat("x", 10_000) + "\r\n\r\nx\r\n", "552 5.3.4"},
		{"header too big, in many fields", strings.Repeat("X: 0123456789\r\n", 1000) + "\r\nx\r\n", "552 5.3.4"},
		{"header that never ends", strings.Repeat("X: 0123456789\r\n", 5000), "552 5.3.4"},
		{"a hundred hosts", strings.Repeat("Received: x\r\n", 100) + "\r\nx\r\n", "250"},
		{"a loop", strings.Repeat("Received: x\r\n", 101) + "\r\nx\r\n", "554 5.4.6"},
		{"a loop in capitals", strings.Repeat("RECEIVED: x\r\n", 101) + "\r\nx\r\n", "554 5.4.6"},
		{"a loop only in the body", "A: b\r\n\r\n" + strings.Repeat("Received: x\r\n", 101), "250"},
	}
	filed := 0
	for _, test := range tests {
		c.say("MAIL FROM:<a@b.test>", "250")
		c.say("RCPT TO:<alice@hayauma.test>", "250")
		c.say("DATA", "354")
		c.send(test.content + ".\r\n")
		got, err := c.reply()
		if err != nil || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, %v; want %s", test.name, got, err, test.want)
		}
		if test.want == "250" {
			filed++
		}
		if n := len(r.Inbox("alice@hayauma.test")); n != filed {
			t.Fatalf("%s: %d messages filed, want %d", test.name, n, filed)
		}
	}
	c.say("MAIL FROM:<a@b.test>", "250")
	for _, rcpt := range []string{"alice", "bob", "team"} {
		c.say("RCPT TO:<"+rcpt+"@hayauma.test>", "250")
	}
	c.say("RCPT TO:<chief@hayauma.test>", "452 4.5.3")
}

func TestOverlongCommand(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	c := r.open("1")
	// RFC 5321 §4.5.3.1.4 and RFC 4954 §4: with CRLF 512 octets, 1000 to be safe,
	// 12288 where AUTH is.
	for _, octets := range []int{511, 512, 513, 999, 1000, 1001, 2048, 12_287, 12_288} {
		c.say("NOOP "+strings.Repeat("x", octets-len("NOOP \r\n")), "250")
	}
	c.say("NOOP "+strings.Repeat("x", 12_289-len("NOOP \r\n")), "500 5.5.2")
	c.say("NOOP "+strings.Repeat("x", 13_000), "500 5.5.2")
	c.say("NOOP "+strings.Repeat("x", 1_000_000), "500 5.5.2")
	c.say("EHLO "+strings.Repeat("x", 256), "501 5.5.4")
	c.say("EHLO client.test", "250")
	c.say("MAIL FROM:<"+strings.Repeat("x", 300)+"@b.test>", "501 5.1.7")
	c.say("MAIL FROM:<a@b.test>"+strings.Repeat(" X", 30), "501 5.5.4")
}

// Copies for those who share the message hold one body and name each its own
// address.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	c := r.open("1")
	c.say("EHLO client.test", "250")
	id := c.deliver("a@b.test", "Subject: one\r\n\r\nHello\r\n",
		"team@hayauma.test", "alice@hayauma.test", "x@catch.test", "postmaster", "postmaster@catch.test")
	for owner, to := range map[string]string{"alice@hayauma.test": "team@hayauma.test", "bob@hayauma.test": "team@hayauma.test", "owner@catch.test": "postmaster"} {
		got := r.Inbox(owner)
		if len(got) != 1 || !strings.Contains(got[0], "Delivered-To: "+to) {
			t.Errorf("%s: %q, want one copy for %s", owner, got, to)
		}
	}
	if got := r.Events(id); got != "accepted filed filed filed" {
		t.Errorf("events: %s", got)
	}
}

func TestRemoteRecipientsAreQueued(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	c := r.open("5")
	c.say("EHLO printer.test", "250")
	id := c.deliver("printer@hayauma.test", "Subject: one\r\n\r\nHello\r\n",
		"bob@hayauma.test", "x@elsewhere.test", "X@ELSEWHERE.test", "x@Elsewhere.Test", "away@hayauma.test")
	queued := r.Queued()
	if len(queued) != 1 || queued[0].ID.String() != id {
		t.Fatalf("queue: %+v", queued)
	}
	var to []string
	for _, rcpt := range queued[0].Recipients {
		to = append(to, rcpt.Address.String())
	}
	if strings.Join(to, " ") != "x@elsewhere.test X@elsewhere.test me@elsewhere.test" {
		t.Errorf("queued recipients: %q", to)
	}
	if got := r.Events(id); got != "accepted filed" {
		t.Errorf("events: %s", got)
	}
}

// TestHideClient: where the settings want it, nobody learns from what address a user
// sent a message; the operator does, and strangers hide nothing.
func TestHideClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{Messages: func(s *intake.Settings) { s.HideClient = true }})
	c := r.open("3")
	c.say("EHLO my-laptop.test", "250")
	c.say("AUTH PLAIN "+plainAlice, "235")
	id := c.deliver("alice@hayauma.test", "Subject: x\r\n\r\nx\r\n", "bob@hayauma.test")
	other := r.open("1")
	other.say("EHLO client.test", "250")
	other.deliver("x@y.test", "Subject: x\r\n\r\nx\r\n", "bob@hayauma.test")
	got := r.Inbox("bob@hayauma.test")
	if !strings.Contains(got[0], "\r\nReceived: by mx.hayauma.test with ESMTPSA id ") || strings.Contains(got[0], "laptop") || strings.Contains(got[0], stranger.Addr().String()) {
		t.Errorf("%q", got[0])
	}
	if !strings.Contains(got[1], "\r\nReceived: from client.test (["+stranger.Addr().String()+"])\r\n\tby ") {
		t.Errorf("%q", got[1])
	}
	if d := r.Timeline(id)[0].Detail; d.Helo != "my-laptop.test" || d.Peer != stranger.String() {
		t.Errorf("%+v", d)
	}
}
