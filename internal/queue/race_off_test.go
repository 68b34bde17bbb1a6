//go:build !race

package queue

const scale = 1
