package pack

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// maxHandles is how many packs are kept open for reading.
const maxHandles = 128

func packName(id int64) string { return fmt.Sprintf("packs/%010d.pack", id) }

// handles keeps packs open for reading. A handle may be closed while someone
// reads: the read in the system call ends well, a later one says os.ErrClosed.
type handles struct {
	disk disk
	mu   sync.Mutex
	open map[int64]file
}

func (h *handles) init(d disk) { h.disk, h.open = d, map[int64]file{} }

func (h *handles) get(pack int64) (file, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f, ok := h.open[pack]; ok {
		return f, nil
	}
	f, err := h.disk.open(packName(pack), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	for other, old := range h.open {
		if len(h.open) < maxHandles {
			break
		}
		delete(h.open, other)
		_ = old.Close() // only read
	}
	h.open[pack] = f
	return f, nil
}

func (h *handles) drop(pack int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f, ok := h.open[pack]; ok {
		delete(h.open, pack)
		_ = f.Close() // only read
	}
}

func (h *handles) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for pack, f := range h.open {
		delete(h.open, pack)
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
