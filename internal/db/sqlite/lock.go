package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hayauma/hayauma/internal/db"
)

// LockSuffix is what the name of a database's lock file has more than that of
// the database.
const LockSuffix = ".lock"

// Lock takes the database, or with another engine the folder, of a lock file for
// this process; db.ErrInUse if another has it. The lock ends with the process,
// however that ends; its file stays and names the holder. It is a file of its
// own, because closing any descriptor of the database file would drop SQLite's
// locks on it.
func Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }() // nothing was written
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("%w (%s is locked%s)", db.ErrInUse, path, holder(path))
	}
	// Who holds it is only a hint for people: an error does not matter.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return held{f}, nil
}

// held is a file that is locked.
type held struct{ *os.File }

// Close unlocks it first: a program that is just being started elsewhere in the
// process holds every descriptor until its exec, and the lock with it.
func (h held) Close() error {
	return errors.Join(unix.Flock(int(h.Fd()), unix.LOCK_UN), h.File.Close())
}

func holder(path string) string {
	b, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return " by process " + pid
	}
	return ""
}

// syncDir makes the entries of a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
