package config

import "strings"

// nearest returns the known key most like key, or "" if none is near. A right
// name in the wrong section counts as near.
func nearest(key string, known []string) string {
	const longest = 100 // a name beyond this resembles nothing, and costs time
	if len(key) > longest {
		return ""
	}
	best, bestDistance := "", len(key)/3+1
	for _, k := range known {
		d := distance(key, k)
		if lastPart(key) == lastPart(k) {
			d = min(d, 2)
		}
		if d < bestDistance || d == bestDistance && best == "" {
			best, bestDistance = k, d
		}
	}
	return best
}

// lastPart returns what follows the last dot.
func lastPart(key string) string {
	return key[strings.LastIndexByte(key, '.')+1:]
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to make a of b (optimal string alignment).
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
