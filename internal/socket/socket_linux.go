package socket

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func pending(c net.Conn) int { return ask(c, unix.SIOCINQ) }

func unsent(c net.Conn) int { return ask(c, unix.SIOCOUTQ) }

func ask(c net.Conn, request uint) int {
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
