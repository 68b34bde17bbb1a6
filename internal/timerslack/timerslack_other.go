//go:build !linux

package timerslack

// Widen has nothing to do here.
func Widen() {}

// Usual runs fn.
func Usual(fn func() error) error { return fn() }
