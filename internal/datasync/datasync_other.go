//go:build !linux

// Package datasync makes what was written to a file durable.
package datasync

import "golang.org/x/sys/unix"

// Datasync makes a file durable: these systems have nothing cheaper.
func Datasync(fd int) error { return unix.Fsync(fd) }
