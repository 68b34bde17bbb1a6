package app

import (
	"os"
	"runtime/debug"
)

// gcPercent lets the heap grow to 2.2 times what is alive. Each step takes memory for
// time: 85 and 150 are 15 MiB apart with 5,000 idle sessions, 5 on 200 connections, and
// some 4 % of the processor where one message goes to each of many domains
// (docs/benchmarks.md, memory).
const gcPercent = 120

// tuneMemory leaves an administrator's own GOGC alone.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
