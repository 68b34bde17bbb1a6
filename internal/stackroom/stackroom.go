// Package stackroom spares short-lived goroutines that call deeply the growing of
// their stacks.
package stackroom

// Reserve gives the stack of a new goroutine 16 KiB. A stack grows by being copied to
// one of twice the size, and each frame on it is adjusted: at the outset there is one,
// in the depths of a connection that is made there are thirty, several times over.
func Reserve()
