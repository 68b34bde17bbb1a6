package sqlite

import (
	"errors"

	"golang.org/x/sys/unix"
)

// datasync makes the octets of a file durable, and of its inode only what reading
// them needs.
func datasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
