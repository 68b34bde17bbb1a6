//go:build race

package sim

// scale cuts loops over SQL, which the race detector makes many times slower.
const scale = 20
