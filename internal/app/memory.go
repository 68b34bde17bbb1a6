package app

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to 1.85 times what is alive: with Go's default of 100
// accepting on 200 connections takes two megabytes more, with 120 four, and is not faster
// (docs/benchmarks.md, memory).
const gcPercent = 85

// tuneMemory leaves an administrator's own GOGC alone.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
