// Package socket tells what the kernel, and TLS, know of a connection.
package socket

import (
	"crypto/tls"
	"net"
)

// Pending is how many octets wait to be read below TLS, -1 if that cannot be told. A
// connection that holds some itself has a method of this name.
func Pending(c net.Conn) int {
	c = below(c)
	if p, ok := c.(interface{ Pending() int }); ok {
		return p.Pending()
	}
	return pending(c)
}

// Unsent is how many octets the peer's host has not acknowledged, -1 if that
// cannot be told.
func Unsent(c net.Conn) int { return unsent(below(c)) }

// Peer is the process at the other end of a socket of this machine, 0 if that cannot be
// told. Of a listening end it is the one that listens.
func Peer(c net.Conn) int { return peer(c) }

func below(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if r, ok := c.(*Records); ok {
		c = r.Conn
	}
	return c
}
