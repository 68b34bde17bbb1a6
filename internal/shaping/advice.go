package shaping

import (
	"fmt"
	"time"
)

// Advice is what a provider's reply asks for, besides what it means for the message.
type Advice struct {
	For         time.Duration // how long it holds; 0 = there is none
	Pause       bool          // nothing goes to the provider meanwhile
	Connections int           // at once meanwhile; 0 = as before
	Rate        int           // messages in Per meanwhile; 0 = as before
	Per         time.Duration
	Why         string // in words
	Rule        int64  // of the operator's, 0 = it is shipped
}

// tally counts the replies of one kind within an hour.
type tally struct {
	since time.Time
	n     int
}

// maxTallies bounds what is counted at once; beyond it counting begins anew.
const maxTallies = 10_000

// Advise says what follows for a provider from one of its replies.
func (s *Store) Advise(provider string, code int, enhanced, text string) Advice {
	r := s.match(provider, code, enhanced, text)
	if r == nil || r.Do != Slow && r.Do != Pause || !s.often(provider, r) {
		return Advice{}
	}
	return Advice{For: r.wait, Pause: r.Do == Pause, Connections: r.Connections, Rate: r.messages, Per: r.per, Why: r.String(), Rule: r.ID}
}

// often counts a reply of a provider that a rule is for, and tells whether it is one
// too many of its hour.
func (s *Store) often(provider string, r *Rule) bool {
	if r.Times == 1 {
		return true
	}
	key := fmt.Sprint(provider, " ", r.ID, " ", r.Code, " ", r.Text)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.seen[key]
	if t == nil || now.Sub(t.since) >= time.Hour {
		if len(s.seen) >= maxTallies {
			clear(s.seen)
		}
		t = &tally{since: now}
		s.seen[key] = t
	}
	if t.n++; t.n < r.Times {
		return false
	}
	delete(s.seen, key)
	return true
}
