package timerslack

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// By how much the kernel may put off the end of a pause, in nanoseconds.
const (
	wide  = 1_000_000
	usual = 50_000
)

// Widen has the runtime's monitor look after its threads 900 times a second and
// not 14,000 times, which on two busy cores takes a tenth of what a server uses. It
// pauses for 20 µs and what the kernel puts off. A thread has that from the one that made
// it, and the monitor is the first one: so the program starts itself again, unless
// somebody, such as systemd (TimerSlackNSec=), has seen to it. Where that fails the
// program goes on as it is. Call it before anything else.
func Widen() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack >= wide || unix.Gettid() != unix.Getpid() {
		return // only the first thread keeps all that was set for the process
	}
	program, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, wide, 0, 0, 0) != nil {
		return
	}
	if slack, err = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || slack < wide {
		return // a kernel that only says so would have us start for ever
	}
	_ = syscall.Exec(program, os.Args, os.Environ()) // it returns only if it failed
}

// Usual runs fn on a thread that has what the kernel gives to every program: what fn
// starts has it as well.
func Usual(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack <= usual {
		return fn()
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, usual, 0, 0, 0); err != nil {
		return err
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) }() // it could be had before
	return fn()
}
