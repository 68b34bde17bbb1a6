package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/lockfile"
)

// LockSuffix is what the name of a database's lock file has more than that of
// the database.
const LockSuffix = ".lock"

// Lock takes the database, or with another engine the folder, of a lock file for
// this process; db.ErrInUse if another has it. It is a file of its own, because
// closing any descriptor of the database file would drop SQLite's locks on it.
func Lock(path string) (io.Closer, error) {
	lock, err := lockfile.Take(path)
	if errors.Is(err, lockfile.ErrHeld) {
		err = fmt.Errorf("%w (%w)", db.ErrInUse, err)
	}
	return lock, err
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
