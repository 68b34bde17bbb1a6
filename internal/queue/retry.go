package queue

import (
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// wait returns how long a recipient rests after its attempts-th failed attempt; schedule
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

// retry returns the waits between attempts of a message for a recipient: those of its
// schedule, the site's or, where both have some, the longer one of each two; set is for all
// others.
func (q *Queue) retry(m *Message, r *Recipient, site string, set []time.Duration) []time.Duration {
	there := q.provided(site)
	var own []time.Duration
	if q.o.Schedule != nil {
		own, _, _ = q.o.Schedule(m, r.Address.Domain)
	}
	switch {
	case there != nil && own != nil:
		return Longer(there, own)
	case there != nil:
		return there
	case own != nil:
		return own
	}
	return set
}

// Longer takes of two schedules the longer wait after each attempt.
func Longer(a, b []time.Duration) []time.Duration {
	out := make([]time.Duration, max(len(a), len(b)))
	for i := range out {
		out[i] = max(wait(i+1, a), wait(i+1, b))
	}
	return out
}

// lifetime is how long a message is tried from its acceptance on; set is for those whose
// sender has no time of his own.
func (q *Queue) lifetime(m *Message, set time.Duration) time.Duration {
	if q.o.Schedule == nil {
		return set
	}
	if _, own, _ := q.o.Schedule(m, mail.Domain{}); own > 0 {
		return own
	}
	return set
}

// Expires is when the lifetime of a recipient is over, in microseconds: as the message
// says since it was accepted, or as is said now of the recipient's domain. What the clock was
// set ahead by since then is added.
func (q *Queue) Expires(m *Message, r *Recipient) int64 {
	at := m.Expires
	if q.o.Schedule != nil {
		if _, lifetime, there := q.o.Schedule(m, r.Address.Domain); there {
			at = max(m.Received, r.NotBefore) + lifetime.Microseconds()
		}
	}
	at += q.leaps.since(m.Received)
	if m.By.Return && m.By.At != 0 {
		at = min(at, m.By.At)
	}
	return at
}
