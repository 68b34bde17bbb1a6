package socket

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

func pending(c net.Conn) int { return ask(c, unix.SIOCINQ) }

func unsent(c net.Conn) int { return ask(c, unix.SIOCOUTQ) }

func ask(c net.Conn, request uint) int {
	n := -1
	with(c, func(fd int) {
		if v, err := unix.IoctlGetInt(fd, request); err == nil {
			n = v
		}
	})
	return n
}

func peer(c net.Conn) int {
	pid := 0
	with(c, func(fd int) {
		if who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(who.Pid)
		}
	})
	return pid
}

// with calls do with a connection's descriptor, if it has one.
func with(c net.Conn, do func(fd int)) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { do(int(fd)) }) // one that is closed has nothing to tell
}
