package listen

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bound is an open address.
type Bound struct {
	Service string
	Addr    net.Addr
}

// Addrs returns what is open, with the ports that the kernel picked.
func (g *Group) Addrs() []Bound {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make([]Bound, 0, len(g.sockets))
	for _, s := range g.sockets {
		list = append(list, Bound{Service: s.service.Load().Name, Addr: s.ln.Addr()})
	}
	return list
}

// IsOurs tells whether a connection to an address and port would end at one of
// our own sockets.
func (g *Group) IsOurs(ap netip.AddrPort) bool {
	addr := ap.Addr().Unmap().WithZone("")
	switch addr { // a connection to either ends at the loopback
	case netip.IPv4Unspecified():
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		addr = netip.IPv6Loopback()
	}
	g.mu.Lock()
	sockets := g.sockets
	g.mu.Unlock()
	for _, s := range sockets {
		tcp, ok := s.ln.Addr().(*net.TCPAddr)
		if !ok || tcp.Port != int(ap.Port()) {
			continue
		}
		bound := tcp.AddrPort().Addr().Unmap().WithZone("")
		switch {
		case bound == addr:
			return true
		case !bound.IsUnspecified(), s.network == "tcp4" && !addr.Is4(), s.network == "tcp6" && addr.Is4():
		case addr.IsLoopback() || g.locals.has(addr):
			return true
		}
	}
	return false
}

// localsFor is how long the addresses of this machine are believed.
const localsFor = 10 * time.Second

// locals are the addresses of this machine's interfaces.
type locals struct {
	mu    sync.Mutex
	addrs []netip.Addr
	read  time.Time
}

func (l *locals) has(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read.IsZero() || time.Since(l.read) > localsFor {
		l.refresh()
	}
	return slices.Contains(l.addrs, a)
}

// refresh keeps what it has where the machine does not tell.
func (l *locals) refresh() {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	l.addrs, l.read = l.addrs[:0], time.Now()
	for _, n := range list {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			l.addrs = append(l.addrs, p.Addr().Unmap().WithZone(""))
		}
	}
}

// address returns the IP address of a; invalid for a unix socket.
func address(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// unmapped is an IPv4 connection on a socket that is IPv6 as well: it tells
// its addresses as IPv4, so that nobody has to compare two forms of one.
type unmapped struct {
	*net.TCPConn
	local, remote *net.TCPAddr
}

func (c *unmapped) LocalAddr() net.Addr  { return c.local }
func (c *unmapped) RemoteAddr() net.Addr { return c.remote }

func unmap(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	local, ok1 := tcp.LocalAddr().(*net.TCPAddr)
	remote, ok2 := tcp.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 || !remote.AddrPort().Addr().Is4In6() {
		return c
	}
	return &unmapped{TCPConn: tcp, local: tcpAddr(local.AddrPort()), remote: tcpAddr(remote.AddrPort())}
}

// tcpAddr is the inverse of net.TCPAddr.AddrPort, never with an IPv4 address
// in IPv6 form.
func tcpAddr(ap netip.AddrPort) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}
