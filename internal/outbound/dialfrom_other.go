//go:build !linux

package outbound

import "syscall"

// addressOnly does nothing where there is no such option.
func addressOnly(string, string, syscall.RawConn) error { return nil }
