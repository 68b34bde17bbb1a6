package explain_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/explain"
)

func open(t testing.TB) *explain.Book {
	t.Helper()
	b, err := explain.Open()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReply(t *testing.T) {
	t.Parallel()
	b := open(t)
	for _, row := range []struct{ name, text, rule, understood, kind string }{
		{"one line", "550 5.7.26 Multiple checks", "X.7.26", "550 5.7.26 Multiple checks", "permanent"},
		{"several lines", "550-5.7.26 one\r\n550-5.7.26 two\r\n550 5.7.26 three", "X.7.26", "550 5.7.26 one two three", "permanent"},
		{"codes on the first line only", "550-5.7.26 one\n550-two\n550 three", "X.7.26", "550 5.7.26 one two three", "permanent"},
		{"several lines put into one", "550-5.1.1 The email account that you tried to reach does not exist. Please 550-5.1.1 try 550 5.1.1 again", "gmail-no-such-user",
			"550 5.1.1 The email account that you tried to reach does not exist. Please try again", "permanent"},
		{"an enhanced code alone", "5.7.26", "X.7.26", "5.7.26", "permanent"},
		{"a temporary one", "4.2.2", "X.2.2", "4.2.2", "temporary"},
		{"a basic code alone", "421", "421", "421", "temporary"},
		{"words alone", "The email account that you tried to reach does not exist.", "gmail-no-such-user", "The email account that you tried to reach does not exist.", "permanent"},
		{"a field of a report", "smtp; 550 5.1.1 <u@x.test>... nobody", "X.1.1", "550 5.1.1 <u@x.test>... nobody", "permanent"},
		{"a field without space", "smtp;550 5.1.1 nobody", "X.1.1", "550 5.1.1 nobody", "permanent"},
		{"Postfix's words", "host mx.x.test[192.0.2.1] said: 452 4.2.2 no (in reply to RCPT TO command)", "X.2.2", "452 4.2.2 no", "temporary"},
		{"Sendmail's words", "(reason: 550 5.2.1 closed)", "X.2.1", "550 5.2.1 closed", "permanent"},
		{"qmail's words", "Remote host said: 550 sorry (#5.2.1)", "X.2.1", "550 5.2.1 sorry (#5.2.1)", "permanent"},
		{"Google's documentation", `550, "5.1.1", nobody`, "X.1.1", "550 5.1.1 nobody", "permanent"},
		{"a code behind other words", "550 x_nsu 5.1.1 nobody", "X.1.1", "550 5.1.1 x_nsu 5.1.1 nobody", "permanent"},
		{"classes that differ: the basic code counts", "421 5.7.32 odd", "class-authentication", "421 5.7.32 odd", "temporary"},
		{"an unknown detail", "550 5.7.999 odd", "X.7.0", "550 5.7.999 odd", "permanent"},
		{"an unknown subject", "552 5.9.1 odd", "552", "552 5.9.1 odd", "permanent"},
		{"an unknown subject alone", "5.9.1", "X.0.0", "5.9.1", "permanent"},
		{"a code that says nothing", "552 5.0.0 odd", "552", "552 5.0.0 odd", "permanent"},
		{"an unknown basic code", "571 odd", "5xx", "571 odd", "permanent"},
		{"an unknown temporary code", "471 odd", "4xx", "471 odd", "temporary"},
		{"success", "250 2.0.0 OK", "250", "250 2.0.0 OK", "success"},
		{"success with a meaning of its own", "250 2.1.5 OK", "X.1.5", "250 2.1.5 OK", "success"},
		{"success is not explained as a failure", "250 2.1.1 OK", "250", "250 2.1.1 OK", "success"},
		{"unknown success", "299 OK", "2xx", "299 OK", "success"},
		{"an invitation", "354 go on", "354", "354 go on", "continue"},
		{"a host of a route", "451 4.4.4 The host mx.x.test of the route r has no address", "hayauma-way", "451 4.4.4 The host mx.x.test of the route r has no address", "temporary"},
		{"not a code: an IP address", "lost connection with 5.1.1.1 port 25", "class-network", "lost connection with 5.1.1.1 port 25", "unknown"},
		{"not a code: a number", "message of 550 octets", "unknown", "message of 550 octets", "unknown"},
		{"not a code: leading zeros", "5.01.1", "unknown", "5.01.1", "unknown"},
		{"nothing", "", "unknown", "", "unknown"},
		{"a rule for the other class is left", "450 User unknown in virtual mailbox table", "class-bad-mailbox", "450 User unknown in virtual mailbox table", "temporary"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := b.Reply(row.text)
			if got.Rule != row.rule || got.Reply() != row.understood || string(got.Kind) != row.kind {
				t.Errorf("rule %s, kind %s, understood as %q", got.Rule, got.Kind, got.Reply())
			}
		})
	}
}

// TestClassAndTextAgree: who must act, and what is said, belong to the class of the reply
// also where its codes say little, or are those of something else.
func TestClassAndTextAgree(t *testing.T) {
	t.Parallel()
	b := open(t)
	for _, row := range []struct {
		text  string
		class classify.Class
		rule  string
		who   explain.Actor
	}{
		{"450 4.1.1 <a@x.test>: Recipient address rejected: unverified address: connect to mx.x.test[192.0.2.1]:25: Connection timed out", classify.System, "postfix-unverified", explain.Nobody},
		{"454 4.7.0 Temporary authentication failure", classify.Login, "454", explain.Nobody},
		{"454 4.7.0 TLS not available due to local problem", classify.TLS, "454", explain.Nobody},
		{"454 4.7.0 odd", classify.System, "454", explain.Nobody},
		{"530 5.7.0 odd", classify.Login, "530", explain.Sender},
		{"535 5.7.1 odd", classify.Login, "535", explain.Sender},
		{"538 5.7.0 odd", classify.TLS, "538", explain.Sender},
		{"535 5.7.8 odd", classify.Login, "X.7.8", explain.Sender},
		{"550 5.7.30 Basic authentication is not supported for Client Submission.", classify.Login, "exchange-basic-authentication", explain.SenderAdmin},
		{"550 5.7.30 odd", classify.TLS, "X.7.30", explain.RecipientAdmin},
		{"432 4.3.2 Concurrent connections limit exceeded", classify.Rate, "exchange-submission-connections", explain.SenderAdmin},
		{"421 4.3.2 The maximum number of concurrent connections has exceeded a limit", classify.Rate, "class-rate", explain.SenderAdmin},
		{"432 4.7.12 odd", classify.Login, "X.7.12", explain.Sender},
		{"451 4.7.1 Try again later", classify.Greylisted, "class-greylisted", explain.Nobody},
		{"450 4.7.1 Error: too much mail from 192.0.2.1", classify.Rate, "class-rate", explain.SenderAdmin},
		{"451 4.7.0 Temporary server error. Please try again later.", classify.System, "451", explain.Nobody},
		{"554 5.7.1 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", classify.Reputation, "proofpoint-blocked", explain.SenderAdmin},
		{"550 5.1.0 <a@x.test> sender rejected : Invalid SPF record", classify.Authentication, "class-authentication", explain.SenderAdmin},
		{"550 High probability of spam", classify.Spam, "class-spam", explain.Sender},
		{"550 JunkMail rejected - x.test [192.0.2.1]:1 is in an RBL", classify.Reputation, "class-reputation", explain.SenderAdmin},
		{"No such address", classify.BadMailbox, "class-bad-mailbox", explain.Sender},
		{"550 5.7.1 odd", classify.Policy, "X.7.1", explain.SenderAdmin},
		{"550 odd (in reply to RCPT TO command)", classify.BadMailbox, "550", explain.SenderAdmin},
	} {
		got := b.Reply(row.text)
		if got.Class != row.class || got.Rule != row.rule || got.Who != row.who || got.Source.Where == "" {
			t.Errorf("%s: %s, explained by %s, for %s (%s)", row.text, got.Class, got.Rule, got.Who, got.Source)
		}
	}
}

func TestLongTextIsCut(t *testing.T) {
	t.Parallel()
	got := open(t).Reply("550 5.1.1 " + strings.Repeat("語", 1<<16))
	if got.Rule != "X.1.1" || len(got.Text) > 2<<10 || !utf8.ValidString(got.Text) {
		t.Errorf("%s, %d octets", got.Rule, len(got.Text))
	}
}

func TestReplies(t *testing.T) {
	t.Parallel()
	report := "I could not deliver it.\n\nFinal-Recipient: rfc822; a@x.test\nDiagnostic-Code: smtp; 550 5.1.1 <a@x.test>:\n    nobody here\n" +
		"Action: failed\n\nDIAGNOSTIC-CODE: smtp; 552 full\n\nDiagnostic-Code: smtp; 552 full\n"
	for _, row := range []struct{ name, text, want string }{
		{"a report", report, "smtp; 550 5.1.1 <a@x.test>:\nnobody here|smtp; 552 full"},
		{"lines of a log", "so it said\n550-one\n550 two\nthen\n421 later\n421 later\n", "550-one\n550 two|421 later"},
		{"a report that is quoted", "> x\n  Diagnostic-Code: smtp; 550 5.1.1 a\n      b\n  Last-Attempt-Date: x\n", "smtp; 550 5.1.1 a\nb"},
		{
			"Postfix's log", "Dec  1 12:00:01 mx postfix/smtp[123]: A: to=<a@b>, relay=mx.b[192.0.2.1]:587, delay=1, dsn=5.1.1, status=bounced (host mx.b[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command))\n" +
				"Dec  1 12:00:02 mx postfix/smtp[124]: B: to=<c@d>, relay=mx.d[192.0.2.2]:25, delay=1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued)\n" +
				"Dec  1 12:00:03 mx postfix/smtp[125]: C: to=<e@f>, relay=none, delay=1, dsn=4.4.1, status=deferred (connect to mx.f[192.0.2.3]:25: Connection timed out)\n" +
				"Dec  1 12:00:04 mx postfix/smtp[126]: D: host mx.g[192.0.2.4] refused to talk to me: 421 4.7.0 Too many connections\n" +
				"Dec  1 12:00:05 mx postfix/smtpd[127]: NOQUEUE: reject: RCPT from unknown[192.0.2.5]: 554 5.7.1 <x@y>: Relay access denied; from=<a@b> to=<x@y> proto=ESMTP helo=<h>\n",
			"550 5.1.1 User unknown (in reply to RCPT TO command))|4.4.1 connect to mx.f[192.0.2.3]:25: Connection timed out|421 4.7.0 Too many connections|554 5.7.1 <x@y>: Relay access denied",
		},
		{
			"logs of Exim, qmail and Hayauma", "2026-12-01 12:00:00 1abc-0-2x ** a@b R=dnslookup T=remote_smtp H=mx.b [192.0.2.1]: SMTP error from remote mail server after RCPT TO:<a@b>: 550 5.1.1 unknown\n" +
				"@4000 delivery 7: failure: 192.0.2.1_does_not_like_recipient./Remote_host_said:_552_5.2.2_Mailbox_full/Giving_up_on_192.0.2.1./\n" +
				"time=2026-12-01T12:00:00Z level=INFO msg=\"a site cannot be reached\" reply=\"451 4.3.0 later\" site=x\n",
			"550 5.1.1 unknown|552 5.2.2 Mailbox full|451 4.3.0 later",
		},
		{
			"whom Hayauma refused, in both forms of its log", "time=2026-12-01T12:00:00Z level=INFO msg=refused door=smtp stage=sender code=550 status=5.7.27 reason=\"The sender's domain x.test takes no mail (null MX), so nobody could answer\" cause=<nil>\n" +
				`{"msg":"refused","stage":"recipient","code":550,"status":"5.7.1","reason":"The \"From\" field (again) says \u003ca@x.test\u003e","cause":null}` + "\n",
			"550 5.7.27 The sender's domain x.test takes no mail (null MX), so nobody could answer|550 5.7.1 The \"From\" field (again) says <a@x.test>",
		},
		{"a reply in folded lines", "<a@b>: host mx.b[192.0.2.1] said: 550 5.1.1 <a@b>:\n    User unknown (in reply to RCPT TO\n    command)\n\nnothing\n", "550 5.1.1 <a@b>:\nUser unknown (in reply to RCPT TO\ncommand)"},
		{"lines beside it, as hayauma trace has them", "   reply  550 5.1.1 unknown\n   class  bad-mailbox\n", "550 5.1.1 unknown"},
		{
			"a bounce of qmail", strings.Repeat("~", 30) + "From: MAILER-DAEMON@x.test\nSubject: failure notice\n\nHi. This is the qmail-send program at x.test.\n" +
				"I'm afraid I wasn't able to deliver your message to the following addresses.\n\n<bob@x.test>:\n192.0.2.9 does not like recipient.\n" +
				"Remote host said: 550 5.1.1 User unknown\nGiving up on 192.0.2.9.\n\n--- Below this line is a copy of the message.\n", "550 5.1.1 User unknown",
		},
		{
			"a bounce that is encoded", "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/global-delivery-status\nContent-Transfer-Encoding: quoted-printable\n\n" +
				"Reporting-MTA: dns; x.test\n\nFinal-Recipient: utf-8; a@x.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 =E5=AE=9B=E5=85=88=E3=81=AA=\n=E3=81=97\n" +
				"\nFinal-Recipient: rfc822; b@x.test\nAction: failed\nStatus: 4.4.1\nDiagnostic-Code: X-Postfix; connect to mx.x.test[192.0.2.1]:25: Connection refused\n" +
				"\nFinal-Recipient: rfc822; c@x.test\nAction: failed\nStatus: 5.2.2\n--b--\n",
			"550 5.1.1 宛先なし|4.4.1 connect to mx.x.test[192.0.2.1]:25: Connection refused|5.2.2",
		},
		{
			"a bounce of nobody's form, encoded", "From: a@x.test\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nU29ycnk6IDU1MCA1LjEuMSB1bmtub3duCg==\n", "Sorry: 550 5.1.1 unknown",
		},
		{"one reply in words", " The mailbox is full.\n", "The mailbox is full."},
		{"nothing", " \n", ""},
	} {
		found, more := explain.Replies(strings.ReplaceAll(row.text, "~", "Received: from a.test ([192.0.2.1]) by mx.test with esmtps id a for <alice@x.test>; Tue, 01 Dec 2026 12:00:00 +0000\n"))
		if got := strings.Join(found, "|"); got != row.want || more != 0 {
			t.Errorf("%s: %q and %d more", row.name, got, more)
		}
	}
}

// TestRepliesAreCounted: what is left out is known.
func TestRepliesAreCounted(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for i := range 201 {
		fmt.Fprintf(&lines, "550 5.1.1 <user%d@x.test>: no such user\n", i)
	}
	lines.WriteString("550 5.1.1 <user7@x.test>: no such user\n550 5.1.1 <user190@x.test>: no such user\n")
	if found, more := explain.Replies(lines.String()); len(found) != 100 || more != 101 {
		t.Errorf("%d replies and %d more", len(found), more)
	}
}

func TestWordsOfEachLanguage(t *testing.T) {
	t.Parallel()
	for _, k := range []explain.Kind{explain.Success, explain.Continue, explain.Temporary, explain.Permanent, explain.Unknown} {
		if name := k.Name(); name.In(explain.English) == "" || name.In(explain.Japanese) == name.In(explain.English) {
			t.Errorf("%s: %v", k, name)
		}
	}
	if _, known := explain.Actor("x").Name(); known {
		t.Error("an actor that does not exist has a name")
	}
}

// FuzzReply: there is always an answer in both languages, and what was
// understood is understood again in the same way.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"550 5.7.26 x", "550-5.1.1 a\r\n550 5.1.1 b", "5.1.1", "smtp; 452 4.2.2 (in reply to x)", `550, "5.1.1", x`, "host x said: 421", "2.1.5", "日本\x00\xff", "550 -5.1.1",
	} {
		f.Add(seed)
	}
	b := open(f)
	f.Fuzz(func(t *testing.T, text string) {
		found, _ := explain.Replies(text)
		for _, part := range append(found, text) {
			got := b.Reply(part)
			if got.Meaning.EN == "" || got.Meaning.JA == "" || got.Fix.EN == "" || got.Fix.JA == "" || got.Source.Where == "" || got.Rule == "" {
				t.Errorf("%q: %+v", part, got)
			}
			if !utf8.ValidString(got.Text) || strings.ContainsAny(got.Text, "\r\n\x00\x1b") {
				t.Errorf("%q: %q", part, got.Text)
			}
			if again := b.Reply(got.Reply()); again.Code != got.Code || again.Enhanced != got.Enhanced || again.Kind != got.Kind && got.Code+len(got.Enhanced) > 0 {
				t.Errorf("%q was understood as %q, and that as %q", part, got.Reply(), again.Reply())
			}
		}
	})
}
