package main

import (
	"strings"
	"testing"
)

// TestSource: pools, their rules and the warm-up are set in the running server and
// shown.
func TestSource(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[outbound]\nsmart_host = \"127.0.0.7:2526\"\nsmart_host_tls = \"none\"\n")
	s.house()
	explain := func(want string, flags ...string) {
		t.Helper()
		got := s.do("", append([]string{"outbound", "explain", "x@far.test"}, flags...)...)
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	explain("source  127.0.0.1 (no pool: the system chooses it)")
	s.do("", "source", "pool", "add", "old")
	s.do("", "source", "pool", "add", "new", "--overflow", "old", "--warm-up", "5")
	s.do("", "source", "add", "old", "127.0.0.61")
	s.do("", "source", "add", "new", "127.0.0.62", "--ehlo", "new.one.test", "--warm-up")
	if got := s.do("", "source", "add", "new", "127.0.0.62", "--weight", "3"); !strings.HasPrefix(got, "127.0.0.62 of the pool new: EHLO new.one.test, weight 3, warm-up since 2") {
		t.Error(got)
	}
	if got := s.do("", "source", "pool", "add", "new", "--warm-up", "20 50 100"); got != "pool new: overflow old, warm-up 20 50 100\n" {
		t.Error(got)
	}
	explain("source  127.0.0.1 (no pool: the system chooses it)")
	const old = "source  127.0.0.61 of pool old, weight 1\n"
	s.do("", "source", "rule", "add", "new", "--tag", "bulk")
	s.do("", "source", "rule", "add", "old", "--account", "alice@one.test")
	explain(old, "--account", "alice@one.test")
	explain(old, "--from", "alice@one.test")
	explain(old, "--from", "<>", "--account", "alice@one.test")
	explain("source  127.0.0.1 (no pool", "--from", "<>")
	s.do("", "source", "rule", "add", "old", "--stream", "main")
	explain(old)
	s.do("", "source", "rule", "remove", "--stream", "main")
	s.do("", "source", "rule", "add", "old", "--tenant", "main")
	explain(old)
	explain(old, "--from", "<>")
	explain(old, "--from", "x@far.example")
	s.fails("x y: not a valid mail address", "", "outbound", "explain", "x@far.test", "--from", "x y")
	explain("source  127.0.0.62 of pool new, weight 3, as new.one.test; warm-up: day 1 of 3, 0 of 20 sent\n"+
		"        127.0.0.61 of pool old, weight 1, for the overflow\n", "--tag", "bulk")
	if got := squeezed(s.do("", "source", "rule", "list")); !strings.Contains(got, "tag bulk new account alice@one.test old") || !strings.Contains(got, "tenant main old") {
		t.Error(got)
	}
	if got := squeezed(s.do("", "source", "pool", "list")); !strings.Contains(got, "new old 127.0.0.62 new.one.test 3 since 2") || !strings.Contains(got, "old - 127.0.0.61 - 1 done") {
		t.Error(got)
	}
	if got := squeezed(s.do("", "source", "plan")); !strings.Contains(got, "new 127.0.0.62 (a new one) 1 of 3 20 0 50 100 20") {
		t.Error(got)
	}
	for _, c := range [][]string{
		{"this machine cannot send from 192.0.2.1", "source", "add", "new", "192.0.2.1"},
		{"is in the pool old already", "source", "add", "new", "127.0.0.61"},
		{"still that of tag bulk", "source", "pool", "remove", "new"},
		{"there is no pool", "source", "plan", "other"},
		{"there is no rule", "source", "rule", "remove", "--everyone"},
		{"there is no such tenant", "source", "rule", "add", "old", "--tenant", "another"},
	} {
		s.fails(c[0], "", c[1:]...)
	}
	if got := s.try("", "source", "rule", "add", "new"); got.code != exitUsage || !strings.Contains(got.stderr, "by one of --tag") {
		t.Errorf("exit %d, %q", got.code, got.stderr)
	}
	s.do("", "account", "remove", "alice@one.test")
	s.fails("still that of a rule by --tenant", "", "source", "pool", "remove", "old")
	s.do("", "source", "rule", "remove", "--tenant", "main")
	s.fails("still takes the overflow of new", "", "source", "pool", "remove", "old")
	if got := s.do("", "source", "rule", "list"); strings.Contains(got, "account") {
		t.Errorf("the account is gone:\n%s", got)
	}
	s.do("", "source", "rule", "remove", "--tag", "bulk")
	s.do("", "source", "remove", "127.0.0.62")
	s.do("", "source", "pool", "remove", "new")
	s.do("", "source", "pool", "remove", "old")
	if got := s.do("", "source", "pool", "list", "--json"); got != "[]\n" {
		t.Error(got)
	}
}

func squeezed(s string) string { return strings.Join(strings.Fields(s), " ") }
