package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/testkit"
)

// serving starts a server with POP3 alone, on a port of its own.
func serving(t *testing.T) (s *shell, pop3 string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ban") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	pop3 = testkit.FreePort(t)
	s = &shell{t: t, config: filepath.Join(dir, "hayauma.toml")}
	settings := "hostname = \"mx1.one.test\"\ndata_dir = \"data\"\n[listen]\nsmtp = []\nsubmission = []\nsubmissions = []\n" +
		"imap = []\nimaps = []\npop3 = [\"" + pop3 + "\"]\npop3s = []\nhttp = []\n[auth]\nallow_cleartext = true\n" +
		"[limits]\nlogin_failures_per_address = 3\n[storage]\nmin_free = \"1MB\"\n"
	if err := os.WriteFile(s.config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var out, log buffer
	ended := make(chan int, 1)
	c := &cli{stdin: strings.NewReader(""), stdout: &out, stderr: &log, program: "hayauma"}
	go func() { ended <- c.run(ctx, []string{"serve", "--config", s.config}) }()
	testkit.Eventually(t, 20*time.Second, "ready", func() bool { return out.String() != "" })
	stop = func() {
		cancel()
		if code := <-ended; code != exitDone {
			t.Errorf("the server ended with %d\n%s", code, log.String())
		}
	}
	return s, pop3, stop
}

// pop3Login returns the last reply to a login.
func pop3Login(t *testing.T, at, user, password string) string {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "USER %s\r\nPASS %s\r\n", user, password)
	r := bufio.NewReader(conn)
	var reply string
	for range 3 { // the greeting, USER, PASS
		if reply, err = r.ReadString('\n'); err != nil {
			t.Fatalf("%q, %v", reply, err)
		}
	}
	return reply
}

// listsFailures wants the three failures of alice.
func listsFailures(t *testing.T, s *shell) {
	t.Helper()
	var rows []map[string]any
	testkit.Eventually(t, 20*time.Second, "three events", func() bool {
		rows = s.rows("login", "list", "--account", "alice@one.test")
		return len(rows) == 3
	})
	detail, _ := rows[0]["detail"].(map[string]any)
	next, err := time.Parse(time.RFC3339, fmt.Sprint(detail["next"]))
	delete(detail, "next")
	want := map[string]any{
		"door": "pop3", "peer": "127.0.0.1", "login": "Alice@one.test", "account": "alice@one.test", "mechanism": "PASS",
		"reason": "the user name or password is wrong",
	}
	if rows[0]["kind"] != "login-failed" || rows[0]["message"] != nil || !cmp.Equal(detail, want) || err != nil || time.Until(next) > 10*time.Minute {
		t.Errorf("%v", rows)
	}
	got := s.do("", "login", "list", "--limit", "1")
	if !strings.HasPrefix(got, "TIME ") || strings.Count(got, "\n") != 2 || !strings.Contains(got, "Alice@one.test  alice@one.test  127.0.0.1  pop3  PASS") ||
		!strings.Contains(got, "password is wrong; banned until 2") {
		t.Errorf("%q", got)
	}
	s.fails("carol@one.test: there is no such account", "", "login", "list", "--account", "carol@one.test")
}

func TestBans(t *testing.T) {
	t.Parallel()
	s, pop3, stop := serving(t)
	s.house()
	if rows := s.rows("ban", "list"); len(rows) != 0 {
		t.Errorf("%v", rows)
	}
	for range 3 {
		pop3Login(t, pop3, "Alice@one.test", "a wrong one")
	}
	rows := s.rows("ban", "list")
	if len(rows) != 2 || rows[0]["state"] != "stopped" || rows[1]["state"] != "banned" || rows[1]["name"] != "alice@one.test" ||
		rows[1]["network"] != "127.0.0.1/32" || rows[1]["failures"] != 3.0 || rows[1]["why"] == "" {
		t.Fatalf("%v", rows)
	}
	for _, key := range []string{"since", "until"} {
		if at, err := time.Parse(time.RFC3339, fmt.Sprint(rows[1][key])); err != nil || time.Until(at).Abs() > 11*time.Minute {
			t.Errorf("%s: %v, %v", key, at, err)
		}
	}
	if got := pop3Login(t, pop3, "alice@one.test", "long enough"); !strings.HasPrefix(got, "-ERR [SYS/TEMP] Too many failed logins from your network, try again in about 10 minutes") {
		t.Errorf("banned: %q", got)
	}
	listsFailures(t, s)
	if got := s.do("", "ban", "list"); !strings.HasPrefix(got, "NAME ") || !strings.Contains(got, "alice@one.test  127.0.0.1/32  banned") {
		t.Errorf("%q", got)
	}
	s.fails("carol@one.test: nobody is banned", "", "ban", "clear", "carol@one.test")
	s.fails("nobody is banned", "", "ban", "clear", "192.0.2.0/24")
	if got := s.do("", "ban", "clear", "127.0.0.1"); got != "cleared 2 entries\n" {
		t.Errorf("%q", got)
	}
	if got := pop3Login(t, pop3, "alice@one.test", "long enough"); !strings.HasPrefix(got, "+OK") {
		t.Errorf("cleared: %q", got)
	}
	for range 3 {
		pop3Login(t, pop3, "root", "a wrong one")
	}
	stop()
	// Without a server: what is kept.
	if rows := s.rows("login", "list"); len(rows) != 6 { // what failed a moment ago as well
		t.Errorf("%v", rows)
	}
	if rows := s.rows("ban", "list"); len(rows) != 1 || rows[0]["name"] != "root" {
		t.Errorf("%v", rows)
	}
	if got := s.do("", "ban", "clear", "root"); got != "cleared 1 entry\n" {
		t.Errorf("%q", got)
	}
	if got := s.do("", "ban", "clear", "--all"); got != "cleared 0 entries\n" {
		t.Errorf("%q", got)
	}
}
