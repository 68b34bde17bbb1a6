package s3

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// spool is a file with a body above blob.InMemory while it is written: it can
// be read back before Commit, and its parts can be sent again. In front of the
// body is space for the index, so that the file becomes the object as it is.
// It has no name: whatever ends the process, nothing is left of it.
type spool struct {
	f    *os.File
	name string // where the system does not let go of the name of an open file
	size int64  // octets of the body
	sum  *summer
}

func newSpool(dir string, id mail.ID) (*spool, error) {
	f, err := os.CreateTemp(dir, "hayauma-body-")
	if err != nil {
		return nil, spoolError(err)
	}
	p := &spool{f: f, sum: newSummer(id)}
	if err := os.Remove(f.Name()); err != nil {
		p.name = f.Name()
	}
	return p, nil
}

func spoolError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: the folder for large bodies: %w", blob.ErrFull, err)
	}
	return fmt.Errorf("the folder for large bodies: %w", err)
}

// Append implements staging.Large.
func (p *spool) Append(blocks ...[]byte) error {
	for _, b := range blocks {
		n, err := p.f.WriteAt(b, indexLen(1)+p.size)
		p.size += int64(n)
		if err != nil {
			return spoolError(err)
		}
		p.sum.add(b)
	}
	return nil
}

// ReadAt implements staging.Large.
func (p *spool) ReadAt(b []byte, off int64) (int, error) { return p.f.ReadAt(b, indexLen(1)+off) }

// complete writes the index and returns the length of the object.
func (p *spool) complete(body indexed) (int64, error) {
	if _, err := p.f.WriteAt(appendIndex(nil, []indexed{body}), 0); err != nil {
		return 0, spoolError(err)
	}
	return indexLen(1) + p.size, nil
}

func (p *spool) close() {
	_ = p.f.Close() // what was in it is sent or given up
	if p.name != "" {
		_ = os.Remove(p.name) // of no use to anyone, and found by its name
	}
}
