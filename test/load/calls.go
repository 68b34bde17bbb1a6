package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// call is how often a server makes one system call for each message.
type call struct {
	Name    string  `json:"name"`
	Counted float64 `json:"counted"`       // by the kernel, at full speed; 0 = not counted by name
	Strace  float64 `json:"strace"`        // by strace -c, which slows the server
	Errors  float64 `json:"strace_errors"` // of those: a read that finds nothing is one
}

// allCalls is the name of their sum.
const allCalls = "all"

// namedCalls are those that are counted by name, besides their sum.
func namedCalls() []string {
	return []string{
		"read", "write", "pread64", "pwrite64", "sendto", "recvfrom", "fsync", "fdatasync", "futex", "nanosleep", "sched_yield",
		"epoll_pwait", "epoll_wait", "epoll_ctl", "poll", "alarm", "ioctl", "fcntl", "openat", "close", "rename",
	}
}

// callsMissing says why the calls cannot be counted; empty if they can.
func callsMissing() string {
	if os.Geteuid() != 0 {
		return "needs root"
	}
	if _, err := findProgram("strace"); err != nil {
		return "strace: " + err.Error()
	}
	return ""
}

func (b *bench) postfixCalls(ctx context.Context, dir string) (*Result, error) {
	p, err := startPostfix(ctx, dir, postfixHold())
	if err != nil {
		return nil, err
	}
	defer p.stop()
	return countCalls(ctx, b.to(p.smtp, remoteDomain, 4000), dir, p.pid(), nil)
}

func (h *hayaumaRows) calls(ctx context.Context, dir string) (*Result, error) {
	s, stop, err := h.start(ctx, dir, hayaumaSetup{hold: true})
	if err != nil {
		return nil, err
	}
	defer stop()
	return countCalls(ctx, h.to(s.smtp, remoteDomain, 10000), dir, s.pid(), nil)
}

// straced is the part of the messages that is sent while strace slows the server.
const straced = 4

// countCalls sends messages twice: at full speed while the kernel counts, and
// under strace, which tells the errors as well. settled waits until so many are where
// they should be; nil = at the final 250.
func countCalls(ctx context.Context, s Source, dir string, pid int, settled func(context.Context, int64) error) (*Result, error) {
	total := int64(0)
	send := func(s Source) (*Result, error) {
		res, err := sendAll(ctx, s)
		if err == nil && settled != nil {
			total += int64(res.Messages)
			err = settled(ctx, total)
		}
		return res, err
	}
	warm := s
	warm.Messages = s.Conns * warmPerConn
	if _, err := send(warm); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	c, err := startCounting(pid)
	if err != nil {
		return nil, err
	}
	res, err := send(s)
	counted, cerr := c.stop()
	if err := errors.Join(err, cerr); err != nil {
		return nil, err
	}
	s.Messages = max(s.Messages/straced, 1)
	traced, err := traceCalls(ctx, s, dir, pid, send)
	if err != nil {
		return nil, err
	}
	for i := range traced {
		traced[i].Counted = counted[traced[i].Name] / float64(res.Messages)
		delete(counted, traced[i].Name)
	}
	for name, n := range counted {
		if n > 0 {
			traced = append(traced, call{Name: name, Counted: n / float64(res.Messages)})
		}
	}
	res.Calls = traced
	return res, nil
}

func sendAll(ctx context.Context, s Source) (*Result, error) {
	res, err := s.Send(ctx)
	if err == nil && res.Messages < s.Messages {
		err = fmt.Errorf("%d of %d messages: %v", res.Messages, s.Messages, res.Errors)
	}
	return res, err
}

// traceCalls sends under strace -c.
func traceCalls(ctx context.Context, s Source, dir string, pid int, send func(Source) (*Result, error)) ([]call, error) {
	procs, err := readProcesses()
	if err != nil {
		return nil, err
	}
	program, err := findProgram("strace")
	if err != nil {
		return nil, fmt.Errorf("strace: %w", err)
	}
	out := filepath.Join(dir, "calls")
	args := []string{"-f", "-c", "-U", "calls,errors,name", "-o", out}
	pids := descendants(procs, []int{pid})
	for _, p := range pids {
		args = append(args, "-p", strconv.Itoa(p))
	}
	p, err := startProcess(ctx, launch{dir: dir, program: program, args: args})
	if err != nil {
		return nil, err
	}
	defer p.stop()
	for _, traced := range pids {
		if err := p.traces(ctx, traced); err != nil {
			return nil, err
		}
	}
	res, err := send(s)
	if err != nil {
		return nil, err
	}
	_ = syscall.Kill(p.pid(), syscall.SIGINT) // it writes its table and ends
	select {
	case <-p.ended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	return parseCalls(raw, float64(res.Messages))
}

// traces waits until a process is traced.
func (p *process) traces(ctx context.Context, pid int) error {
	for {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || !bytes.Contains(raw, []byte("TracerPid:\t0\n")) {
			return nil // traced, or ended
		}
		select {
		case <-p.ended:
			return fmt.Errorf("strace ended: %s", p.tail())
		default:
		}
		if !pause(ctx, pollEvery) {
			return fmt.Errorf("strace does not begin: %w: %s", ctx.Err(), p.tail())
		}
	}
}

// parseCalls reads the table of strace -c -U calls,errors,name; a column of
// errors is empty where there are none.
func parseCalls(raw []byte, messages float64) ([]call, error) {
	var list []call
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) < 2 || len(f) > 3 {
			continue
		}
		calls, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			continue // the head, the lines of dashes
		}
		c := call{Name: f[len(f)-1], Strace: calls / messages}
		if len(f) == 3 {
			failed, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				return nil, fmt.Errorf("strace: %q", line)
			}
			c.Errors = failed / messages
		}
		if c.Name == "total" {
			c.Name = allCalls
		}
		list = append(list, c)
	}
	if !slices.ContainsFunc(list, func(c call) bool { return c.Name == allCalls }) {
		return nil, fmt.Errorf("strace wrote no table: %q", raw)
	}
	return list, nil
}
