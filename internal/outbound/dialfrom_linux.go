package outbound

import "syscall"

// bindAddressNoPort is IP_BIND_ADDRESS_NO_PORT of ip(7).
const bindAddressNoPort = 24

// addressOnly has a socket bound to its address alone: the port is found when it
// connects, so that one source address may have as many connections to each host as
// there are ports, and not only so many in all.
func addressOnly(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, bindAddressNoPort, 1) // a kernel without it has fewer ports
	})
}
