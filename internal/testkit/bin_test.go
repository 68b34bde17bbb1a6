package testkit_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
)

func TestServerStartsStopsAndStartsAgain(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, "hostname = \"a\"\n")
	if text, err := os.ReadFile(s.ConfigFile); err != nil || string(text) != "hostname = \"a\"\n" {
		t.Fatalf("config %q, %v", text, err)
	}
	second := s.Restart()
	if second.Dir != s.Dir || second.Pid() == s.Pid() {
		t.Errorf("restart: %v %v", second.Dir, second.Pid())
	}
	if !strings.Contains(s.Log(), "stopped") || !strings.Contains(s.Log(), "ready") {
		t.Errorf("log %q", s.Log())
	}
	second.Kill()
	if strings.Contains(second.Log(), "stopped") {
		t.Error("a killed server stopped in order")
	}
	second.Again()
}

func TestServerReportsHowItEnded(t *testing.T) {
	t.Parallel()
	_, err := testkit.LaunchServer(t, testkit.ServerOptions{Config: "broken"})
	if err == nil || !strings.Contains(err.Error(), "config: broken") {
		t.Errorf("broken config: %v", err)
	}
	s := testkit.StartServer(t, "dirty")
	if err := s.Stop(); err == nil {
		t.Error("exit code 3 is taken for a clean stop")
	}
}

func TestServerIsKilledWithItsTest(t *testing.T) {
	t.Parallel()
	pid := 0
	t.Run("inner", func(t *testing.T) { pid = testkit.StartServer(t, "").Pid() })
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d outlived its test", pid)
	}
}

func TestServerWrapped(t *testing.T) {
	t.Parallel()
	env, err := exec.LookPath("env")
	if err != nil {
		t.Fatal(err)
	}
	s, err := testkit.LaunchServer(t, testkit.ServerOptions{Wrap: []string{env, "WRAPPED=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("the wrapped server did not get the signal: %v", err)
	}
}

func TestServerUnderStrace(t *testing.T) {
	t.Parallel()
	strace := testkit.RequireStrace(t)
	trace := filepath.Join(t.TempDir(), "trace")
	s, err := testkit.LaunchServer(t, testkit.ServerOptions{
		Wrap: []string{strace, "-D", "-f", "-o", trace, "-e", "trace=write,exit_group"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	want := "killed by SIGKILL"
	testkit.Eventually(t, 10*time.Second, "the trace to tell of the end", func() bool {
		text, err := os.ReadFile(trace)
		return err == nil && strings.Contains(string(text), want)
	})
	if !strings.Contains(readText(t, trace), fmt.Sprintf("%d ", s.Pid())) {
		t.Errorf("process %d is not the one that was traced", s.Pid())
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	r := testkit.Hayauma(t, "secret", "account", "add")
	if r.Code != 2 || r.Stdout != "args account add, stdin secret, <nil>\n" {
		t.Errorf("%+v", r)
	}
}

func TestFreePortsAreFreeAndDifferent(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, addr := range append(testkit.FreePorts(t, 20), testkit.FreePort(t)) {
		if seen[addr] {
			t.Errorf("%s given twice", addr)
		}
		seen[addr] = true
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
}
