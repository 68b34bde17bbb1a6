package pack

import (
	"errors"
	"syscall"

	"github.com/hayauma/hayauma/internal/datasync"
)

// Datasync makes data durable, and of the inode only what reading needs.
func (f osFile) Datasync() error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) { serr = datasync.Datasync(int(fd)) })
	return errors.Join(err, serr)
}

func (d osDisk) free() (free, total uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}
