package bounce_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/test/stack"
)

// TestWordsOfOthers: what comes from outside never begins a line of ours, turns the
// direction of none, and does not go on for ever.
func TestWordsOfOthers(t *testing.T) {
	t.Parallel()
	const ours = "This is the mail system"
	subject := func(s string) string { return strings.Replace(hello, "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", s, 1) }
	for name, c := range map[string]struct{ content, reply, text string }{
		"lines in encoded words": {subject("=?utf-8?q?hi=0D=0A=0AThis_is_the_mail_system?="), "no", "    Subject: hi " + ours + "\r\n"},
		"and other line ends":    {subject("=?utf-8?q?hi=E2=80=A8=C2=85=0B=0C=00This_is_the_mail_system?="), "no", "    Subject: hi " + ours + "\r\n"},
		"the other direction":    {subject("=?utf-8?q?a=E2=80=AEb=E2=81=A6c=E2=80=8Fd=D8=9Ce?="), "no", "    Subject: abcde\r\n"},
		"a long field":           {subject("=?utf-8?b?" + strings.Repeat("44GC", 1000) + "?="), "no", "    Subject: " + strings.Repeat("あ", 296) + "\r\n    " + strings.Repeat("あ", 204) + "...\r\n"},
		"lines in a reply":       {hello, "no\r\n" + ours + "\n" + ours, "\r\n    550 no\r\n    " + ours + "\r\n    " + ours + "\r\n"},
		"other ends in a reply":  {hello, "a\r\u0085\u2028\u2029\u202e\u2066\u200e\u061cb", "\r\n    550 ab\r\n"},
		"a long reply":           {hello, strings.Repeat("x", 893) + ours, "x\r\n    " + ours},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Deliverer: stack.Deliver(func(*queue.Message, queue.Recipient) queue.Outcome {
				return queue.Outcome{Result: queue.Refused, Code: 550, Host: "mx.elsewhere.test", Reply: c.reply}
			})})
			s.Account("alice@hayauma.test", 0)
			id := sendContent(t, s, mail.Envelope{From: s.Address("alice@hayauma.test")}, c.content, rcpt(s, "x@elsewhere.test", 0))
			settled(t, s, id, "accepted failed bounced")
			r := read(t, s.Inbox("alice@hayauma.test")[0])
			wantAll(t, "text", r.text, c.text)
			if strings.Count("\n"+r.text, "\n"+ours) != 1 {
				t.Errorf("others write lines of ours:\n%s", r.text)
			}
			if strings.ContainsAny(r.text+r.status, "\x00\u0085\u2028\u2029\u202e\u2066\u200e\u200f\u061c") {
				t.Errorf("unseen characters: %q\n%q", r.text, r.status)
			}
		})
	}
}
