package mail

// Priority is how urgent a message is, from -9 to 9 (RFC 6710 §5). 0 = as any
// other.
type Priority int8

// The bounds of Priority.
const (
	LowestPriority  Priority = -9
	HighestPriority Priority = 9
)

// Level is the priority as the queue tells it apart: -1, 0 or 1. These are the
// three of the policy MIXER (RFC 6710 appendix B); others count as the next
// higher one.
func (p Priority) Level() int {
	switch {
	case p > 0:
		return 1
	case p > -4:
		return 0
	}
	return -1
}

// DeliverBy is by when a message is to have been delivered (RFC 2852 §4).
type DeliverBy struct {
	At     int64 // microseconds; 0 = by no time
	Return bool  // later it is worth nothing and goes back; false = its sender is told, and it goes on
	Trace  bool  // its sender wants to know of each host that it is passed to
}

// Over tells whether nobody may be given the message any more.
func (b DeliverBy) Over(now int64) bool { return b.Return && b.At != 0 && now >= b.At }
