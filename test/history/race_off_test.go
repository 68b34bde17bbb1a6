//go:build !race

package history

const scale = 1
