package app

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to 2.2 times what is alive: with Go's default of 100
// accepting on 200 connections costs some hundredths more, with 150 three megabytes
// (docs/benchmarks.md, memory).
const gcPercent = 120

// tuneMemory leaves an administrator's own GOGC alone.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
