package main

import (
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// monitorSlack is by how much the kernel may put off the end of a pause, in
// nanoseconds. By itself that is 50,000.
const monitorSlack = 1_000_000

// calmMonitor has the runtime's monitor look after its threads 900 times a second and
// not 14,000 times, which on two busy cores takes a tenth of what a server uses. It
// pauses for 20 µs and what the kernel puts off. A thread has that from the one that made
// it, and the monitor is the first one: so the program starts itself again, unless
// somebody, such as systemd (TimerSlackNSec=), has seen to it. Where that fails the
// program goes on as it is.
func calmMonitor(args []string) {
	if !slices.Contains(args, "serve") {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack >= monitorSlack || unix.Gettid() != unix.Getpid() {
		return // only the first thread keeps all that was set for the process
	}
	program, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, monitorSlack, 0, 0, 0) != nil {
		return
	}
	if slack, err = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || slack < monitorSlack {
		return // a kernel that only says so would have us start for ever
	}
	_ = syscall.Exec(program, os.Args, os.Environ()) // it returns only if it failed
}
