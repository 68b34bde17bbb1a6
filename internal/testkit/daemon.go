package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// daemonPatience is how long a server of another project may take to answer, and
// to end.
const daemonPatience = 30 * time.Second

// daemon is a server of another project that runs for a test.
type daemon struct {
	name   string
	root   string // its files, removed at the end
	log    string // file with what it says
	signal func(pid int, s syscall.Signal)

	cmd   *exec.Cmd // nil while it does not run
	ended chan struct{}
}

// launch runs cmd and waits until the server answers.
func (d *daemon) launch(ctx context.Context, cmd *exec.Cmd, answers func(context.Context) bool) error {
	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // the server has its own descriptor
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	d.cmd, d.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended stands in its log
	}()
	ctx, cancel := context.WithTimeout(ctx, daemonPatience)
	defer cancel()
	for !answers(ctx) {
		select {
		case <-ended:
			return fmt.Errorf("%s ended:\n%s", d.name, d.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer:\n%s", d.name, d.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Log is the end of what the server said.
func (d *daemon) Log() string {
	b, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(b[max(0, len(b)-most):])
}

// end sends a signal and waits; what does not end by it is killed.
func (d *daemon) end(s syscall.Signal) {
	if d.cmd == nil {
		return
	}
	pid := d.cmd.Process.Pid
	select {
	case <-d.ended: // by itself: its id may be another process's now
	default:
		d.signal(pid, s)
	}
	select {
	case <-d.ended:
	case <-time.After(daemonPatience):
		d.signal(pid, syscall.SIGKILL)
		<-d.ended
	}
	d.cmd = nil
}

// Kill ends the server at once, as kill -9 does.
func (d *daemon) Kill() { d.end(syscall.SIGKILL) }

// Remove ends the server and removes its files.
func (d *daemon) Remove() error {
	d.Kill()
	return os.RemoveAll(d.root)
}
