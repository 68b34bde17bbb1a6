package mailbox

// Query is a condition on a message: one of the types below. It is a closed
// set, so that every evaluation knows every kind.
type Query interface{ query() }

// The conditions. Texts match as substrings of the decoded text in any case.
type (
	// All matches every message.
	All struct{}
	// And matches what all of its conditions match; none = all messages.
	And []Query
	// Or matches what at least one of its conditions matches.
	Or []Query
	// Not matches what its condition does not.
	Not struct{ Query }

	// UIDs matches by UID, with "*" being the view's largest.
	UIDs struct{ Set }
	// Seqs matches by sequence number of the view.
	Seqs struct{ Set }

	// HasFlags matches messages with all of these flags.
	HasFlags Flags
	// IsRecent matches messages with \Recent in this session.
	IsRecent struct{}
	// HasKeyword matches messages with a keyword.
	HasKeyword string

	// Date matches internal dates from day From up to, not including, day To,
	// both in days since 1970 in UTC.
	Date struct{ From, To int64 }
	// Sent is Date for the day in the Date field, as written there; the
	// internal date where that has none.
	Sent struct{ From, To int64 }
	// Larger matches messages of more octets than this.
	Larger int64
	// Smaller matches messages of fewer octets than this.
	Smaller int64
	// ChangedSince matches messages whose modseq is at least this.
	ChangedSince int64

	// Header matches messages with a field of this name, in any case, whose
	// value contains the text; an empty text asks for the field alone.
	Header struct{ Name, Contains string }
	// Body matches messages with the text in the body.
	Body string
	// Text matches messages with the text in header or body.
	Text string
)

func (All) query()          {}
func (And) query()          {}
func (Or) query()           {}
func (Not) query()          {}
func (UIDs) query()         {}
func (Seqs) query()         {}
func (HasFlags) query()     {}
func (IsRecent) query()     {}
func (HasKeyword) query()   {}
func (Date) query()         {}
func (Sent) query()         {}
func (Larger) query()       {}
func (Smaller) query()      {}
func (ChangedSince) query() {}
func (Header) query()       {}
func (Body) query()         {}
func (Text) query()         {}
