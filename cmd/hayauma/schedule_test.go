package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestQueueSchedule(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	s.house()
	if rows := s.rows("queue", "schedule", "list"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
	for _, args := range [][]string{
		{"alice@one.test", "--retry", "1m 5m", "--lifetime", "2h"}, {"tenant:main", "--lifetime", "3d"}, {"stream:news", "--retry", "1h"},
	} {
		if got := s.do("", append([]string{"queue", "schedule", "set"}, args...)...); got != "set for "+args[0]+"\n" {
			t.Errorf("%q", got)
		}
	}
	told := strings.Join(strings.Fields(s.do("", "queue", "schedule", "list")), " ")
	for _, want := range []string{"alice@one.test 1m 5m 2h 20", "stream:news 1h - 20", "tenant:main - 3d 20"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in %s", want, told)
		}
	}
	s.fails("carol@one.test: there is no such account", "", "queue", "schedule", "set", "carol@one.test", "--lifetime", "1h")
	s.fails("there is no such tenant", "", "queue", "schedule", "set", "tenant:other", "--lifetime", "1h")
	s.fails("write at least one wait", "", "queue", "schedule", "set", "stream:x", "--retry", " ")
	s.fails("write a time from 1s", "", "queue", "schedule", "set", "stream:x", "--lifetime", "soon")
	s.do("", "queue", "schedule", "remove", "stream:news")
	s.fails("nothing is set for this", "", "queue", "schedule", "remove", "stream:news")
	s.do("", "account", "remove", "alice@one.test")
	if rows := s.rows("queue", "schedule", "list"); len(rows) != 1 || rows[0]["for"] != "tenant:main" {
		t.Errorf("%v", rows)
	}
	if got := s.try("", "queue", "schedule", "set", "stream:x"); got.code != exitUsage || !strings.Contains(got.stderr, "--retry, --lifetime or both") {
		t.Errorf("exit %d, %q", got.code, got.stderr)
	}
}

// TestScheduleOfADomain: it holds for what waits already, of a relay domain as well, and the
// list tells of it.
func TestScheduleOfADomain(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[queue]\nhold = true\n")
	s.house()
	s.do("", "domain", "add", "branch.test", "--relay", "--to", "127.0.0.7:2526", "--recipients", "any")
	s.do("Subject: one\n\nbody\n", "send", "-f", "alice@one.test", "x@branch.test", "y@deep.far.test", "z@far.test")
	lives := func(want map[string]time.Duration) {
		t.Helper()
		for _, r := range s.rows("queue", "list") {
			received, err := time.Parse(time.RFC3339, fmt.Sprint(r["received"]))
			expires, err2 := time.Parse(time.RFC3339, fmt.Sprint(r["expires"]))
			to := fmt.Sprint(r["recipient"])
			if got := expires.Sub(received); err != nil || err2 != nil || got != want[to] {
				t.Errorf("%s: lives for %v, want %v", to, got, want[to])
			}
		}
	}
	const day = 24 * time.Hour
	lives(map[string]time.Duration{"x@branch.test": 5 * day, "y@deep.far.test": 5 * day, "z@far.test": 5 * day})
	s.do("", "queue", "schedule", "set", "domain:BRANCH.test", "--lifetime", "14d", "--retry", "1h")
	s.do("", "queue", "schedule", "set", "domain:*.far.test", "--lifetime", "2h")
	want := map[string]time.Duration{"x@branch.test": 14 * day, "y@deep.far.test": 2 * time.Hour, "z@far.test": 5 * day}
	lives(want)
	s.do("", "queue", "schedule", "set", "tenant:main", "--lifetime", "3d") // of what comes later
	lives(want)
	told := strings.Join(strings.Fields(s.do("", "queue", "schedule", "list")), " ")
	for _, want := range []string{"domain:branch.test 1h 14d 20", "domain:*.far.test - 2h 20"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in %s", want, told)
		}
	}
	s.do("", "queue", "schedule", "remove", "domain:branch.test")
	want["x@branch.test"] = 5 * day
	lives(want)
	s.fails("domain:a b: ", "", "queue", "schedule", "set", "domain:a b", "--lifetime", "1h")
}

// TestExplainedSchedule: what is told of an address is what holds for mail that goes there
// from the one who asks.
func TestExplainedSchedule(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[outbound]\nsmart_host = \"127.0.0.7:2526\"\nsmart_host_tls = \"none\"\n")
	s.house()
	s.do("", "domain", "add", "branch.test", "--relay", "--to", "127.0.0.8:2526", "--recipients", "any")
	for _, args := range [][]string{
		{"domain:branch.test", "--lifetime", "14d"}, {"domain:*.test", "--retry", "10m 20m"}, {"stream:news", "--lifetime", "3d"},
		{"tenant:main", "--lifetime", "4d", "--retry", "9m"}, {"alice@one.test", "--lifetime", "2h"},
	} {
		s.do("", append([]string{"queue", "schedule", "set"}, args...)...)
	}
	const below = "retry: 10m 20m (queue schedule domain:*.test)"
	for _, c := range []struct {
		args   []string
		wanted []string
	}{
		{[]string{"x@branch.test"}, []string{"given up after: 14d (queue schedule domain:branch.test)", below}},
		{[]string{"branch.test", "--from", "x@far.example"}, []string{"given up after: 14d (queue schedule domain:branch.test)", below}},
		{[]string{"branch.test", "--from", "alice@one.test"}, []string{"given up after: 2h (queue schedule alice@one.test)", below}},
		{[]string{"branch.test", "--account", "alice@one.test"}, []string{"given up after: 2h (queue schedule alice@one.test)", below}},
		{[]string{"x@far.test", "--stream", "news"}, []string{"given up after: 3d (queue schedule stream:news)", below}},
		{[]string{"x@far.example"}, []string{"given up after: 4d (queue schedule tenant:main)", "retry: 9m (queue schedule tenant:main)"}},
	} {
		got := s.do("", append([]string{"outbound", "explain"}, c.args...)...)
		for _, want := range c.wanted {
			if !strings.Contains(got, want) {
				t.Errorf("%v: no %q in\n%s", c.args, want, got)
			}
		}
	}
	s.do("", "outbound", "limit", "127.0.0.7", "--retry", "15m")
	if got := s.do("", "outbound", "explain", "x@far.test"); !strings.Contains(got, "retry: 15m 20m (the longer ones of 15m, set on ") || !strings.Contains(got, ", and of queue schedule domain:*.test)") {
		t.Errorf("%s", got)
	}
}
