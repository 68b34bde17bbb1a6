//go:build !linux

package pack

import "math"

// Datasync is Sync where the system has nothing cheaper.
func (f osFile) Datasync() error { return f.Sync() }

func (d osDisk) free() (free, total uint64, err error) {
	return math.MaxInt64, math.MaxInt64, nil
}
