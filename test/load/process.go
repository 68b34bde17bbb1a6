package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hayauma/hayauma/internal/timerslack"
)

const (
	startLimit = 30 * time.Second // for a server to be ready
	stopLimit  = 15 * time.Second // between SIGTERM and SIGKILL
	groupLimit = 2 * time.Second  // after SIGKILL to the group
	pollEvery  = 20 * time.Millisecond
)

// process is a server that this program started, in a process group of its own.
type process struct {
	cmd   *exec.Cmd
	log   *os.File
	lines *lineWatch
	ended chan struct{}
}

// launch says what process to start.
type launch struct {
	dir     string // where it runs
	program string
	args    []string
	env     []string // besides our own
	// resolvConf is a file that the program finds in the place of /etc/resolv.conf;
	// empty = the system's. It takes root.
	resolvConf string
}

// startProcess runs a program in the foreground; what it says goes to
// dir/NAME.log.
func startProcess(ctx context.Context, l launch) (*process, error) {
	log, err := os.Create(filepath.Join(l.dir, filepath.Base(l.program)+".log"))
	if err != nil {
		return nil, err
	}
	p := &process{log: log, lines: &lineWatch{to: log, want: "ready", seen: make(chan struct{})}, ended: make(chan struct{})}
	// The end of ctx must not kill one process of a tree: stop does it in order.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), l.program, l.args...)
	if l.resolvConf != "" {
		// In a mount namespace of its own, which ends with it.
		p.cmd = exec.CommandContext(context.WithoutCancel(ctx), "unshare", append([]string{"--mount", "sh", "-ec",
			`mount --bind "$0" /etc/resolv.conf; exec "$@"`, l.resolvConf, l.program}, l.args...)...)
	}
	p.cmd.Dir, p.cmd.Env = l.dir, append(os.Environ(), l.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.lines, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = stopLimit
	if err := timerslack.Usual(p.cmd.Start); err != nil {
		_ = log.Close() // nothing was written
		return nil, fmt.Errorf("start %s: %w", l.program, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the server to end, then ends its whole group.
func (p *process) stop() {
	_ = syscall.Kill(p.pid(), syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // what is left of the group, often nothing
	<-p.ended
	// The others of the group end on their own time; their folder is removed next.
	for wait := time.Duration(0); wait < groupLimit && syscall.Kill(-p.pid(), 0) == nil; wait += pollEvery {
		<-time.After(pollEvery)
	}
	_ = p.log.Close() // a log for people; nothing reads it back
}

// ready waits for the line "ready".
func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-p.lines.seen:
		return nil
	case <-p.ended:
		return fmt.Errorf("%s ended before it was ready: %s", p.cmd.Path, p.tail())
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready: %w: %s", p.cmd.Path, ctx.Err(), p.tail())
	}
}

// greets waits until the address answers with a first line.
func (p *process) greets(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	t, err := ParseTarget(ctx, addr)
	if err != nil {
		return err
	}
	for {
		if err = greeting(ctx, t); err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it answered: %s", p.cmd.Path, p.tail())
		default:
		}
		if !pause(ctx, pollEvery) {
			return fmt.Errorf("%s does not answer at %s: %w: %s", p.cmd.Path, addr, err, p.tail())
		}
	}
}

func greeting(ctx context.Context, t Target) error {
	c, err := dialLine(ctx, t, 4096, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.arm(); err != nil {
		return err
	}
	_, err = c.line()
	return err
}

// tail is the last of the log, for an error text.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(raw[max(0, len(raw)-600):]))
}

// lineWatch copies and tells when a line was seen.
type lineWatch struct {
	to   io.Writer
	want string
	seen chan struct{}

	mu   sync.Mutex
	part []byte
	done bool
}

func (l *lineWatch) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.done {
		l.part = append(l.part, p...)
		for line := range bytes.Lines(l.part) {
			if strings.TrimSpace(string(line)) == l.want && line[len(line)-1] == '\n' {
				l.done = true
				close(l.seen)
				break
			}
		}
		if i := bytes.LastIndexByte(l.part, '\n'); i >= 0 {
			l.part = l.part[i+1:]
		}
	}
	return l.to.Write(p)
}

// runCommand runs a short command to its end and returns an error with what it
// said.
func runCommand(ctx context.Context, stdin string, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Ports are taken below the range that the kernel gives to outgoing connections and to port
// 0, so that nothing takes one between our look and the server's listen, and above those of
// the servers of other tests.
const (
	portLow  = 30000
	portHigh = 32768
)

// freePorts finds n TCP ports on 127.0.0.1 that nobody listens on, as addresses.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close() // only the number was wanted
		}
	}()
	var addrs []string
	for tries := 0; len(addrs) < n; tries++ {
		addr := fmt.Sprintf("127.0.0.1:%d", portLow+rand.IntN(portHigh-portLow))
		l, err := Target{Network: "tcp", Address: addr}.Listen(ctx)
		switch {
		case err == nil:
			open, addrs = append(open, l), append(addrs, addr)
		case tries > 100*n || ctx.Err() != nil:
			return nil, fmt.Errorf("find a port: %w", err)
		}
	}
	return addrs, nil
}

// findProgram looks in the path and in the folders of administrators' programs.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", errors.New("not installed")
}
