package pack

import (
	"fmt"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
)

// space keeps new bodies from taking the last of the file system, which delete
// and expunge need. It asks the system at most once a second.
type space struct {
	disk disk

	mu      sync.Mutex
	minFree int64
	asked   time.Time
	err     error
}

func (s *space) init(d disk, minFree int64) { s.disk, s.minFree = d, minFree }

// setMinFree takes another limit, which the next check looks at.
func (s *space) setMinFree(octets int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.minFree != octets {
		s.minFree, s.asked = octets, time.Time{}
	}
}

// check returns an error that is blob.ErrFull while there is too little space.
func (s *space) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.minFree < 0 {
		return nil
	}
	now := time.Now()
	if !s.asked.IsZero() && now.Sub(s.asked) < time.Second {
		return s.err
	}
	s.asked = now
	free, total, err := s.disk.free()
	if err != nil {
		s.err = fmt.Errorf("ask for free space: %w", err)
		return s.err
	}
	floor := uint64(s.minFree)
	if s.minFree == 0 {
		floor = max(total/100, 512<<20)
	}
	s.err = nil
	if free < floor {
		s.err = fmt.Errorf("%w: %d octets are free, %d are kept (storage.min_free)", blob.ErrFull, free, floor)
	}
	return s.err
}
