//go:build !race

package sim

// scale cuts loops over SQL under the race detector.
const scale = 1
