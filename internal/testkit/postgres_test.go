package testkit

import (
	"syscall"
	"testing"
)

// TestStartAfterAKill: processes that outlive their server keep it from starting
// only until they are found.
func TestStartAfterAKill(t *testing.T) {
	t.Parallel()
	p := NewPostgres(t)
	first := p.cmd.Process.Pid
	left := children(first)
	for _, pid := range left {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended by itself
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil || len(left) == 0 {
		t.Fatalf("%d processes, %v", len(left), err)
	}
	<-p.ended
	if err := p.Start(t.Context()); err != nil {
		t.Error(err)
	}
}
