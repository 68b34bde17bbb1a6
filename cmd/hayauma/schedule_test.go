package main

import (
	"strings"
	"testing"
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
	s.fails("nothing is set for this sender", "", "queue", "schedule", "remove", "stream:news")
	s.do("", "account", "remove", "alice@one.test")
	if rows := s.rows("queue", "schedule", "list"); len(rows) != 1 || rows[0]["sender"] != "tenant:main" {
		t.Errorf("%v", rows)
	}
	if got := s.try("", "queue", "schedule", "set", "stream:x"); got.code != exitUsage || !strings.Contains(got.stderr, "--retry, --lifetime or both") {
		t.Errorf("exit %d, %q", got.code, got.stderr)
	}
}
