package queue

import "time"

// wait returns how long a recipient rests after its attempts-th attempt; schedule
// holds the waits between attempts, its last one repeats.
func wait(attempts int, schedule []time.Duration) time.Duration {
	if len(schedule) == 0 {
		return time.Minute
	}
	return schedule[min(max(attempts, 1), len(schedule))-1]
}

// next returns when a recipient is due again that rests from now on. It adds no
// jitter: due rows are claimed in batches and each site has its own limit, so a
// herd turns into a line by itself, and people are shown times that hold.
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
