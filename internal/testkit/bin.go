package testkit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	readyPatience = 30 * time.Second // from start to the line "ready"
	stopPatience  = 30 * time.Second // from SIGTERM to the end
	runPatience   = 60 * time.Second // for one command of the command line
)

// built is a global so that one test process builds the binary once.
var built = sync.OnceValues(buildBinary)

// Binary is the path of the hayauma binary: HAYAUMA_BIN if set, else built from
// the working tree once per test process.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildBinary leaves the binary in bin/test of the module, which git ignores
// and `make clean` removes. The rename keeps test processes that run at the
// same time from seeing half a file.
func buildBinary() (string, error) {
	if path := os.Getenv("HAYAUMA_BIN"); path != "" {
		return seen(filepath.Abs(path))
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	fresh := filepath.Join(dir, fmt.Sprintf("hayauma.%d", os.Getpid()))
	cmd := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", fresh, "./cmd/hayauma")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build hayauma: %w\n%s", err, out)
	}
	final := filepath.Join(dir, "hayauma")
	return seen(final, os.Rename(fresh, final))
}

// seen looks at the binary, so that the go command knows that the test depends
// on it and does not repeat a cached result after a change.
func seen(path string, err error) (string, error) {
	if err == nil {
		_, err = os.Stat(path)
	}
	return path, err
}

// moduleRoot is the next folder upwards with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test's folder")
		}
	}
	return "", err
}

// ServerOptions describe a server process.
type ServerOptions struct {
	Config     string   // text of hayauma.toml, written beside the data; ignored if ConfigFile is set
	ConfigFile string   // an existing file instead
	Dir        string   // working folder and place of hayauma.toml; empty = a temporary one
	Env        []string // added to the environment, "KEY=value"
	Wrap       []string // a program in front, as "strace", "-D", "-f", "-o", file: it must keep the server's pid
}

// Server is a running hayauma process. It is killed, by its id, when the test
// ends; its log is shown if the test has failed.
type Server struct {
	// Dir is the working folder, ConfigFile the settings in use.
	Dir, ConfigFile string

	t     testing.TB
	cmd   *exec.Cmd
	log   logBuffer
	ready chan struct{}
	ended chan struct{}
	err   error // of Wait; valid once ended is closed
}

// StartServer runs `hayauma serve` with a config text in a temporary folder
// and returns when it has said that it is ready.
func StartServer(t testing.TB, config string) *Server {
	t.Helper()
	s, err := LaunchServer(t, ServerOptions{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// LaunchServer is StartServer with options. The error tells of a server that
// ended or was silent instead of getting ready, and holds its log.
func LaunchServer(t testing.TB, opts ServerOptions) (*Server, error) {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	if opts.ConfigFile == "" {
		opts.ConfigFile = filepath.Join(opts.Dir, "hayauma.toml")
		if err := os.WriteFile(opts.ConfigFile, []byte(opts.Config), 0o600); err != nil {
			return nil, err
		}
	}
	argv := append(slices.Clone(opts.Wrap), Binary(t), "serve", "--config", opts.ConfigFile)
	s := &Server{
		Dir: opts.Dir, ConfigFile: opts.ConfigFile, t: t,
		cmd:   exec.CommandContext(context.WithoutCancel(t.Context()), argv[0], argv[1:]...),
		ready: make(chan struct{}), ended: make(chan struct{}),
	}
	s.cmd.Dir = opts.Dir
	s.cmd.Env = append(os.Environ(), opts.Env...)
	s.cmd.SysProcAttr = dieWithParent()
	s.cmd.Stderr = &s.log
	s.cmd.WaitDelay = time.Second
	out, in := io.Pipe()
	s.cmd.Stdout = in
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.watch(out)
	go func() {
		s.err = s.cmd.Wait()
		_ = in.Close() // a pipe in memory closes without error
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of the server (pid %d):\n%s", s.cmd.Process.Pid, s.Log())
		}
	})
	return s, s.waitReady()
}

// watch copies stdout to the log and notices the line "ready".
func (s *Server) watch(out io.Reader) {
	lines := bufio.NewScanner(out)
	said := false
	for lines.Scan() {
		s.log.addLine(lines.Text())
		if lines.Text() == "ready" && !said {
			said = true
			close(s.ready)
		}
	}
	_, _ = io.Copy(io.Discard, out) // after a line too long to scan, so that the server is not blocked
}

func (s *Server) waitReady() error {
	limit := time.NewTimer(readyPatience)
	defer limit.Stop()
	select {
	case <-s.ready:
		return nil
	case <-s.ended:
		return fmt.Errorf("the server ended before it was ready: %w\n%s", errors.Join(s.err, errNotReady), s.Log())
	case <-limit.C:
		s.Kill()
		return fmt.Errorf("%w within %v\n%s", errNotReady, readyPatience, s.Log())
	}
}

var errNotReady = errors.New("the server was not ready")

// Pid is the process id.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Log is what the process wrote to stderr and stdout so far (the last 4 MiB).
func (s *Server) Log() string { return s.log.String() }

// Ended is closed when the process has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Signal sends a signal, such as SIGHUP.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// Stop asks the server to end (SIGTERM) and returns how it ended: nil for exit
// code 0. A server that stays is killed, which is an error.
func (s *Server) Stop() error {
	if err := s.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(stopPatience)
	defer limit.Stop()
	select {
	case <-s.ended:
		return s.err
	case <-limit.C:
		s.Kill()
		return fmt.Errorf("the server was still there %v after SIGTERM", stopPatience)
	}
}

// Kill ends the process without warning (SIGKILL) and waits for its end. To
// kill twice is fine.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // fails only if it has ended already
	<-s.ended
}

// Restart stops the server if it runs and starts it anew on the same folder.
func (s *Server) Restart() *Server {
	s.t.Helper()
	if err := s.Stop(); err != nil {
		s.t.Fatalf("stop: %v", err)
	}
	return s.Again()
}

// Again starts a new process on the folder of one that has ended.
func (s *Server) Again() *Server {
	s.t.Helper()
	fresh, err := LaunchServer(s.t, ServerOptions{Dir: s.Dir, ConfigFile: s.ConfigFile})
	if err != nil {
		s.t.Fatal(err)
	}
	return fresh
}

// Result is how one command of the command line ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Hayauma runs one command of the binary, with stdin, in the server's folder
// and with its settings.
func (s *Server) Hayauma(stdin string, args ...string) Result {
	s.t.Helper()
	return Hayauma(s.t, stdin, append(slices.Clone(args), "--config", s.ConfigFile)...)
}

// Hayauma runs one command of the binary to its end.
func Hayauma(t testing.TB, stdin string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), runPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && (!exited || ctx.Err() != nil) {
		t.Fatalf("hayauma %s: %v\n%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), errs.String())
	}
	return Result{Stdout: out.String(), Stderr: errs.String(), Code: cmd.ProcessState.ExitCode()}
}

// logBuffer keeps the end of a log.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

const logLimit = 4 << 20

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if len(b.text) > 2*logLimit {
		b.text = append([]byte(nil), b.text[len(b.text)-logLimit:]...)
	}
	return len(p), nil
}

func (b *logBuffer) addLine(line string) {
	_, _ = b.Write([]byte(line + "\n")) // never fails
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text[max(0, len(b.text)-logLimit):])
}
