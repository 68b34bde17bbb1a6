//go:build !linux

package smtpd

import "net"

// pending is how many octets wait to be read in a socket, 0 if that cannot be
// told.
func pending(net.Conn) int { return 0 }

// unsent is how many octets the peer's host has not acknowledged, -1 if that
// cannot be told.
func unsent(net.Conn) int { return -1 }
