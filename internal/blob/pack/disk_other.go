//go:build !linux

package pack

import (
	"io"
	"math"
	"os"
)

// Datasync is Sync where the system has nothing cheaper.
func (f osFile) Datasync() error { return f.Sync() }

func (d osDisk) free() (free, total uint64, err error) {
	return math.MaxInt64, math.MaxInt64, nil
}

func (d osDisk) lock(name string) (io.Closer, error) {
	return os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE, 0o600)
}
