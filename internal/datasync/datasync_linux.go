// Package datasync makes what was written to a file durable.
package datasync

import (
	"syscall"
	_ "unsafe" // for linkname
)

// Datasync makes the octets of a file durable, and of its inode only what reading
// them needs.
func Datasync(fd int) error {
	for {
		switch err := fdatasync(uintptr(fd)); err {
		case 0:
			return nil
		case syscall.EINTR:
		default:
			return err
		}
	}
}

// fdatasync gives its place among the running goroutines (its P) away before it
// waits. Otherwise the runtime's monitor takes it back, and to find out that it must it
// looks every 20 µs for as long as there are syncs.
//
//go:nosplit
func fdatasync(fd uintptr) syscall.Errno {
	entersyscallblock()
	_, _, err := syscall.RawSyscall(syscall.SYS_FDATASYNC, fd, 0, 0)
	exitsyscall()
	return err
}

// The runtime keeps these two as they are for those outside it that call them
// (https://go.dev/issue/67401).

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()
