package main

import (
	"strings"
	"testing"
)

func TestOutboundReply(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.do("", "domain", "add", "one.test")
	if rows := s.rows("outbound", "reply", "list"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
	for _, step := range []struct {
		want string
		args []string
	}{
		{"added reply rule 1\n", []string{"add", "permanent", "--enhanced", "4.2.1", "--text", "Mailbox is inactive"}},
		{"added reply rule 2\n", []string{"add", "slow", "--provider", "Outlook.com", "--code", "451", "--rate", "10/min", "--for", "1h", "--times", "3"}},
		{"rule 1 decides: permanent (set on ", []string{"test", "450 4.2.1 The mailbox is INACTIVE"}},
		{"no rule is for this reply\n", []string{"test", "451 4.7.1 Come again"}},
		{"rule 2 decides: slow, 10/min for 1h (set on ", []string{"test", "451 4.7.1 Come again", "--provider", "outlook.com"}},
		{"; it acts when such a reply came 3 times within an hour\n", []string{"test", "451 4.7.1 Come again", "--provider", "outlook.com"}},
		{"a rule that is shipped decides: pause for 2h (shipped with another mail server: ", []string{"test", "421 4.7.0 [TSS04] Messages", "--provider", "yahoodns.net"}},
		{"removed reply rule 2\n", []string{"remove", "2"}},
	} {
		if got := s.do("", append([]string{"outbound", "reply"}, step.args...)...); !strings.Contains(got, step.want) {
			t.Errorf("%v: %q, want %q", step.args, got, step.want)
		}
	}
	s.fails("there is no reply rule with this number", "", "outbound", "reply", "remove", "2")
	s.fails(`there is no "forget"`, "", "outbound", "reply", "add", "forget", "--text", "x")
	if got := s.try("", "outbound", "reply", "test", "250 fine"); got.code != exitUsage || !strings.Contains(got.stderr, "a reply that is no success") {
		t.Errorf("exit %d, %q", got.code, got.stderr)
	}
	if got := s.do("", "outbound", "reply", "list"); !strings.Contains(got, `4.2.1 "mailbox is inactive"`) || strings.Contains(got, "outlook") {
		t.Errorf("%s", got)
	}
	if got := s.do("", "outbound", "reply", "list", "--provider", "outlook.com"); !strings.Contains(got, "\n1 ") || !strings.Contains(got, "\nshipped ") {
		t.Errorf("%s", got)
	}
}
