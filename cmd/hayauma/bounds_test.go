package main

import (
	"fmt"
	"strings"
	"testing"
)

// A list that ends before the queue does says so.
func TestQueueListSaysThatThereIsMore(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[queue]\nhold = true")
	s.do("", "domain", "add", "one.test")
	s.do("Subject: one\n\nbody\n", "send", "x@far.test", "y@far.test", "z@far.test")
	if got := s.do("", "queue", "list", "--limit", "2"); strings.Count(got, "@far.test") != 2 || !strings.HasSuffix(got, "\n... more than 2 recipients, use --limit\n") {
		t.Errorf("%q", got)
	}
	for _, args := range [][]string{{"queue", "list"}, {"queue", "list", "--limit", "0"}, {"queue", "list", "--limit", "3"}} {
		if got := s.do("", args...); strings.Count(got, "@far.test") != 3 || strings.Contains(got, "more") {
			t.Errorf("%q: %q", args, got)
		}
	}
	got := s.try("", "queue", "list", "--limit", "1", "--json")
	if got.code != exitDone || strings.Count(got.stdout, "@far.test") != 1 || strings.Contains(got.stdout, "more") ||
		got.stderr != "hayauma: ... more than 1 recipient, use --limit\n" {
		t.Errorf("%+v", got)
	}
	if got := s.try("", "queue", "list", "--limit", "100001"); got.code != exitUsage || !strings.Contains(got.stderr, "at most 100000") {
		t.Errorf("%+v", got)
	}
}

// A bare user belongs to the hostname only if mail for that is at home here.
func TestSendToABareUser(t *testing.T) {
	t.Parallel()
	s := newShell(t, "") // mx1.one.test
	const text = "Subject: x\n\nbody\n"
	s.do("", "route", "set", "r", "--host", "h.test")
	if got := s.try(text, "send", "bob"); got.code != exitLater || !strings.Contains(got.stderr, "no domain is at home here") {
		t.Errorf("without a domain: %+v", got)
	}
	s.house() // one.test
	s.do(text, "send", "bob")
	if got := s.do("To: bob\n"+text, "send", "-t", "-v", "-f", "alice"); !strings.Contains(got, "taken for 1 recipient") {
		t.Errorf("%q", got)
	}
	s.do("", "domain", "add", "mx1.one.test")
	s.do("long enough\n", "account", "add", "bob@mx1.one.test", "--password-stdin")
	s.do(text, "send", "bob")
	for _, a := range s.rows("account", "list") {
		want := map[string]string{"alice@one.test": "0", "bob@one.test": "2", "bob@mx1.one.test": "1"}[fmt.Sprint(a["address"])]
		if got := fmt.Sprint(a["messages"]); got != want {
			t.Errorf("%s has %s messages, want %s", a["address"], got, want)
		}
	}
}
