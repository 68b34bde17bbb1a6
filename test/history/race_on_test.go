//go:build race

package history

// scale cuts loops over SQL, which the race detector makes many times slower.
const scale = 20
