//go:build !linux

package socket

import "net"

func pending(net.Conn) int { return -1 }

func unsent(net.Conn) int { return -1 }

func peer(net.Conn) int { return 0 }
