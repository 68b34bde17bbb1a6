//go:build !linux

// Package socket asks the kernel what it knows of a connection.
package socket

import "net"

// Pending is how many octets wait to be read in a socket, 0 if that cannot be
// told.
func Pending(net.Conn) int { return 0 }

// Unsent is how many octets the peer's host has not acknowledged, -1 if that
// cannot be told.
func Unsent(net.Conn) int { return -1 }
