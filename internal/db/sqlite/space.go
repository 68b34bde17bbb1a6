package sqlite

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// leastFree is the free space below which writes are refused, whatever the
// size of the disk: 512 MiB.
const leastFree = 512 << 20

// space watches how much of the disk is free.
type space struct {
	dir     string
	minFree func() int64 // nil or below 0 = the larger of 1 % and leastFree
	log     *slog.Logger

	checked atomic.Int64 // when, in nanoseconds of start
	start   time.Time
	low     atomic.Bool
	mu      sync.Mutex
}

// recheck is how long an answer of the file system is believed.
const recheck = time.Second

// kept is the minimum that the settings give in octets; 0 = they give none.
func (s *space) kept() int64 {
	if s.minFree == nil {
		return 0
	}
	return max(s.minFree(), 0)
}

// isLow reports whether the free space has fallen below its minimum.
func (s *space) isLow() bool {
	now := int64(time.Since(s.start)) + int64(recheck)
	if now-s.checked.Load() < int64(recheck) || !s.mu.TryLock() {
		return s.low.Load()
	}
	defer s.mu.Unlock()
	s.checked.Store(now)
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		s.log.Warn("free space is unknown", "dir", s.dir, "error", err)
		return s.low.Load()
	}
	block := uint64(st.Bsize)
	free, least := st.Bavail*block, max(st.Blocks*block/100, leastFree)
	if s.minFree != nil {
		if n := s.minFree(); n >= 0 {
			least = uint64(n)
		}
	}
	low := free < least
	if was := s.low.Swap(low); low != was {
		s.log.Warn("free space crossed its minimum", "dir", s.dir, "low", low, "free", free, "minimum", least)
	}
	return low
}
