package main

import (
	"strings"
	"testing"
)

func TestLimitCommands(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[submission]\nmessages_per_day = 300")
	s.house()
	row := func(text, name string) string {
		for l := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(l, name+" ") {
				return strings.Join(strings.Fields(l)[1:], " ")
			}
		}
		return ""
	}
	text := s.do("", "account", "limit", "alice@one.test", "--messages-per-day", "500", "--recipients-per-day", "0")
	for name, want := range map[string]string{
		"messages-per-day": "500 its own 0", "recipients-per-day": "none its own 0", "messages-per-minute": "none default 0",
	} {
		if got := row(text, name); got != want {
			t.Errorf("%s is %q, want %q in\n%s", name, got, want, text)
		}
	}
	if got := row(s.do("", "account", "limit", "bob@one.test"), "messages-per-day"); got != "300 default 0" {
		t.Errorf("another account has %q", got)
	}
	if got := row(s.do("", "account", "limit", "alice@one.test", "--default"), "messages-per-day"); got != "300 default 0" {
		t.Errorf("back at the default it has %q", got)
	}
	if rows := s.rows("domain", "limit", "one.test", "--recipients-per-hour", "9"); len(rows) != 7 || rows[4]["limit"] != float64(9) || rows[4]["own"] != true {
		t.Errorf("the domain has %v", rows)
	}
	if got := s.try("", "account", "limit", "alice@one.test", "--messages-per-day", "-1"); got.code != exitUsage || !strings.Contains(got.stderr, "whole number from 0") {
		t.Errorf("a negative limit: %+v", got)
	}
	s.fails("this domain is not ours", "", "domain", "limit", "two.test", "--messages-per-day", "1")
	if rows := s.rows("account", "hold", "list"); len(rows) != 0 {
		t.Errorf("held: %v", rows)
	}
	s.fails("the account is not held", "", "account", "hold", "release", "alice@one.test")
}
