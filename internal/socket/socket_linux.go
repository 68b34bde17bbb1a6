// Package socket asks the kernel what it knows of a connection.
package socket

import (
	"crypto/tls"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pending is how many octets wait to be read in a socket, 0 if that cannot be
// told.
func Pending(c net.Conn) int { return max(0, ask(c, unix.SIOCINQ)) }

// Unsent is how many octets the peer's host has not acknowledged, -1 if that
// cannot be told.
func Unsent(c net.Conn) int { return ask(c, unix.SIOCOUTQ) }

func ask(c net.Conn, request uint) int {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	err = raw.Control(func(fd uintptr) {
		if v, err := unix.IoctlGetInt(int(fd), request); err == nil {
			n = v
		}
	})
	if err != nil {
		return -1
	}
	return n
}
