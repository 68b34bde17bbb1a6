package testkit

import "syscall"

// dieWithParent ends a server whose test process was killed, for example by
// the test's time limit, where no cleanup runs.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
