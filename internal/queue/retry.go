package queue

import (
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// wait returns how long a recipient rests after its attempts-th attempt; schedule
// holds the waits between attempts, its last one repeats.
func wait(attempts int, schedule []time.Duration) time.Duration {
	if len(schedule) == 0 {
		return time.Minute
	}
	return schedule[min(max(attempts, 1), len(schedule))-1]
}

// spread lengthens a wait by up to a tenth, by the recipient: those who failed
// together do not all come again at the same moment. The same recipient always gets
// the same part, so that times can be foretold.
func spread(wait time.Duration, id mail.ID) time.Duration {
	const fraction = 0x9E3779B97F4A7C15 // of 2^64: the golden ratio, which spreads neighbours well
	part := uint64(id) * fraction >> 54 // of 1024
	return wait + wait/10240*time.Duration(part)
}

// next returns when a recipient is due again that rests from now on.
//
// The attempt at the end of the lifetime is the last one, so a wait that goes
// beyond it ends with it.
func next(now, expires int64, wait time.Duration) int64 {
	due := now + max(wait, time.Second).Microseconds()
	if now < expires && due > expires {
		return expires
	}
	return due
}
