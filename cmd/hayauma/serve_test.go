package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

// buffer is written by a server and read by its test.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// The line "ready", commands through the admin socket while it serves, and an
// end without error.
func TestServe(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "serve") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	smtp := testkit.FreePort(t)
	settings := "hostname = \"mx1.one.test\"\ndata_dir = \"data\"\n[listen]\nsmtp = [\"" + smtp + "\"]\n" +
		"submission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\n[storage]\nmin_free = \"1MB\"\n" +
		"[dns]\nresolver = \"127.0.0.1:9\"\n"
	s := &shell{t: t, config: filepath.Join(dir, "hayauma.toml")}
	if err := os.WriteFile(s.config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, log buffer
	ended := make(chan int, 1)
	c := &cli{stdin: strings.NewReader(""), stdout: &out, stderr: &log, program: "hayauma"}
	go func() { ended <- c.run(ctx, []string{"serve", "--config", s.config}) }()
	testkit.Eventually(t, 20*time.Second, "ready", func() bool { return out.String() != "" })

	s.house()
	s.do("Subject: x\n\nbody\n", "send", "bob@one.test")
	if got := fmt.Sprint(s.rows("account", "list")[1]["messages"]); got != "1" {
		t.Errorf("bob has %s messages", got)
	}
	if got := s.do("", "check", "--deep"); !strings.Contains(got, "every checksum") {
		t.Errorf("%q", got)
	}
	mistyped(t, s)
	other := newShell(t, "[listen]\nsmtp = [\""+smtp+"\"]\nsubmission = []\nsubmissions = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nhttp = []\n")
	got := other.try("", "serve")
	if got.code != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, smtp) {
		t.Errorf("a taken port: exit %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}

	cancel()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	select {
	case code := <-ended:
		if code != exitDone || out.String() != "ready\n" {
			t.Errorf("exit %d, stdout %q\n%s", code, out.String(), log.String())
		}
	case <-limit.C:
		t.Fatalf("the server did not end\n%s", log.String())
	}
}

// A mistyped key does not take a server that runs from its operator; what reads the
// settings for itself still refuses them.
func mistyped(t *testing.T, s *shell) {
	t.Helper()
	right, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, append([]byte("nope = 1\n"), right...), 0o600); err != nil {
		t.Fatal(err)
	}
	const wrong = "the settings are wrong, and the server runs on with those that it has read before: "
	for _, row := range []struct{ stdin, args string }{
		{"", "queue list"}, {"", "domain add two.test"}, {"Subject: x\n\nbody\n", "send alice@one.test"},
	} {
		got := s.try(row.stdin, strings.Fields(row.args)...)
		if got.code != exitDone || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, wrong) || !strings.Contains(got.stderr, "nope") {
			t.Errorf("%s: exit %d, stderr %q", row.args, got.code, got.stderr)
		}
	}
	s.fails("nope", "", "check")
	s.fails("nope", "", "serve")
	if err := os.WriteFile(s.config, right, 0o600); err != nil {
		t.Fatal(err)
	}
}
