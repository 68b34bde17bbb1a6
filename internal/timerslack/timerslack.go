// Package timerslack keeps the Go runtime's monitor from taking a tenth of two busy
// cores.
package timerslack
