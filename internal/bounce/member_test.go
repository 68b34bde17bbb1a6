package bounce_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// TestBehindAnAlias: the sender is told which of his addresses led to the one that failed
// (RFC 3461 §5.2.1 (d)).
func TestBehindAnAlias(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ to, orcpt, original, text, language string }{
		"an alias":                   {"one@hayauma.test", "", "Original-Recipient: rfc822;one@hayauma.test\r\nFinal-Recipient: rfc822; priv@elsewhere.test\r\n", "<priv@elsewhere.test> (expanded from <one@hayauma.test>): refused by", ""},
		"in Japanese":                {"one@hayauma.test", "", "", "<priv@elsewhere.test>（<one@hayauma.test> 宛の転送先）: mx.elsewhere.test", "ja"},
		"a group":                    {"sales@hayauma.test", "", "Original-Recipient: rfc822;sales@hayauma.test\r\nFinal-Recipient: rfc822; other@elsewhere.test\r\n", "<secret@elsewhere.test> (expanded from <sales@hayauma.test>): refused", ""},
		"beyond ASCII":               {"営業@hayauma.test", "", "Original-Recipient: utf-8;営業@hayauma.test\r\n", "<priv@elsewhere.test> (expanded from <営業@hayauma.test>): refused", ""},
		"the sender's own":           {"one@hayauma.test", "rfc822;first@list.test", "Original-Recipient: rfc822;first@list.test\r\n", "<priv@elsewhere.test> (expanded from <first@list.test>): refused", ""},
		"another type":               {"one@hayauma.test", "x400;/c=jp", "Original-Recipient: x400;/c=jp\r\n", "<priv@elsewhere.test>: refused", ""},
		"its own address":            {"x@elsewhere.test", "rfc822;x@ELSEWHERE.test", "Original-Recipient: rfc822;x@ELSEWHERE.test\r\n", "<x@elsewhere.test>: refused", ""},
		"none behind it":             {"x@elsewhere.test", "", "", "<x@elsewhere.test>: refused", ""},
		"a member that is not there": {"ghosts@hayauma.test", "", "Original-Recipient: rfc822;ghosts@hayauma.test\r\nFinal-Recipient: rfc822; nobody@hayauma.test\r\n", "<nobody@hayauma.test> (expanded from <ghosts@hayauma.test>): ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stack.New(t, stack.Options{Deliverer: stack.Deliver(refused)})
			s.Account("alice@hayauma.test", 0)
			if err := s.Directory.SetLanguage(t.Context(), s.Address("alice@hayauma.test"), cmp.Or(c.language, "en")); err != nil {
				t.Fatal(err)
			}
			s.Alias("sales@hayauma.test", "secret@elsewhere.test", "other@elsewhere.test")
			s.Alias("one@hayauma.test", "priv@elsewhere.test")
			s.Alias("営業@hayauma.test", "priv@elsewhere.test")
			s.Alias("ghosts@hayauma.test", "alice@hayauma.test", "nobody@hayauma.test")
			env := mail.Envelope{From: s.Address("alice@hayauma.test")}
			sendWith(t, s, env, mail.Recipient{Address: s.Address(c.to), ORCPT: c.orcpt, Notify: mail.NotifyFailure})
			got := reportsIn(t, s, "alice@hayauma.test")
			if len(got) != 1 {
				t.Fatalf("%d reports", len(got))
			}
			wantAll(t, "text", got[0].text, c.text)
			wantAll(t, "status", got[0].status, c.original)
			if c.orcpt == "" && c.to == "x@elsewhere.test" && strings.Contains(got[0].status, "Original-Recipient") {
				t.Errorf("an alias out of nothing: %s", got[0].status)
			}
		})
	}
}

// reportsIn waits for the queue to be empty and reads the reports of a mailbox.
func reportsIn(t *testing.T, s *stack.Stack, address string) (out []report) {
	t.Helper()
	testkit.Eventually(t, patience, "an empty queue", func() bool { return len(s.Queued()) == 0 })
	for _, m := range s.Inbox(address) {
		if strings.Contains(m, "multipart/report") {
			out = append(out, read(t, m))
		}
	}
	return out
}
