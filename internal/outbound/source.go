package outbound

import (
	"net"
	"net/netip"
)

// localOf is our end of a connection.
func localOf(conn net.Conn) netip.Addr {
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		return local.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
