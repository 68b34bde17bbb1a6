package pack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hayauma/hayauma/internal/lockfile"
)

// disk is every operation on the file system that the store does. Names are
// relative to the store's folder.
type disk interface {
	open(name string, flag int) (file, error)
	mkdir(name string) error
	remove(name string) error
	rename(from, to string) error
	syncDir(name string) error
	list(name string) ([]string, error)
	// free returns how many octets may still be written and how many there
	// are in all.
	free() (free, total uint64, err error)
	// lock takes the folder for this process until the file is closed.
	lock(name string) (io.Closer, error)
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Sync makes data, size and times durable; Datasync leaves out what
	// reading does not need.
	Sync() error
	Datasync() error
	Size() (int64, error)
}

type osDisk struct{ dir string }

type osFile struct{ *os.File }

func (d osDisk) path(name string) string { return filepath.Join(d.dir, name) }

func (d osDisk) open(name string, flag int) (file, error) {
	f, err := os.OpenFile(d.path(name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDisk) mkdir(name string) error      { return os.MkdirAll(d.path(name), 0o700) }
func (d osDisk) remove(name string) error     { return os.Remove(d.path(name)) }
func (d osDisk) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osDisk) syncDir(name string) (err error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}

func (d osDisk) list(name string) ([]string, error) {
	entries, err := os.ReadDir(d.path(name))
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// isFull reports whether an error says that space ran out.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isMissing reports whether an error says that a file went away.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed)
}

func (d osDisk) lock(name string) (io.Closer, error) {
	lock, err := lockfile.Take(d.path(name))
	if errors.Is(err, lockfile.ErrHeld) {
		err = fmt.Errorf("the body store in %s is in use by another process: %w", d.dir, err)
	}
	return lock, err
}
