package sqlite

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hayauma/hayauma/internal/db"
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
	short   atomic.Pointer[shortage]
	mu      sync.Mutex
}

// shortage is how free space has fallen below its minimum.
type shortage struct{ free, least uint64 }

func (s *shortage) Error() string {
	return fmt.Sprintf("%v: %d octets are free, %d are kept (storage.min_free); let mail go or delete some, make room on the disk, or set that lower",
		db.ErrFull, s.free, s.least)
}

func (s *shortage) Unwrap() error { return db.ErrFull }

// recheck is how long an answer of the file system is believed.
const recheck = time.Second

// kept is the minimum that the settings give in octets; 0 = they give none.
func (s *space) kept() int64 {
	if s.minFree == nil {
		return 0
	}
	return max(s.minFree(), 0)
}

// shortage tells how the free space has fallen below its minimum; nil = it has not.
func (s *space) shortage() *shortage {
	now := int64(time.Since(s.start)) + int64(recheck)
	if now-s.checked.Load() < int64(recheck) || !s.mu.TryLock() {
		return s.short.Load()
	}
	defer s.mu.Unlock()
	s.checked.Store(now)
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		s.log.Warn("free space is unknown", "dir", s.dir, "error", err)
		return s.short.Load()
	}
	block := uint64(st.Bsize)
	free, least := st.Bavail*block, max(st.Blocks*block/100, leastFree)
	if s.minFree != nil {
		if n := s.minFree(); n >= 0 {
			least = uint64(n)
		}
	}
	var short *shortage
	if free < least {
		short = &shortage{free, least}
	}
	if was := s.short.Swap(short); (short == nil) != (was == nil) {
		s.log.Warn("free space crossed its minimum", "dir", s.dir, "low", short != nil, "free", free, "minimum", least)
	}
	return short
}
