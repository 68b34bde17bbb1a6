package mailbox

import (
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Row is one message of a View.
type Row struct {
	Seq, UID uint32
	Flags    Flags
	Recent   bool // \Recent in this session
	Keywords []string
	Modseq   int64
	Size     int64 // octets of prefix and body
	Date     int64 // internal date, microseconds
	Message  mail.ID
	Thread   mail.ID

	// With WantBody or WantStructure.
	Body   mail.ID
	Prefix []byte
	// Header is the size of the message's header with its blank line.
	Header int64
	// SentDay is the day of the Date field as written there, in days since
	// 1970; the internal date's where that has none.
	SentDay int64

	// With WantStructure. Offsets count from the first octet of the prefix.
	Structure *mime.Part
}

// Want says what Rows reads beyond flags, sizes, dates and ids.
type Want uint8

// What can be wanted.
const (
	WantBody      Want = 1 << iota // what Open needs
	WantStructure                  // and the structure
)

// Changes is what a Poll found. A session sends Expunged, then Exists and
// Recent, then Flags, whose Seq holds after all of those.
type Changes struct {
	Exists, Recent uint32
	ExistsChanged  bool
	// Expunged are sequence numbers, from the largest to the smallest.
	Expunged []uint32
	Flags    []Row
	// More says that this was a slice of the changes: poll again.
	More bool
}

// Copied tells of copies: From[i] of the view became To[i].
type Copied struct {
	UIDValidity uint32
	From, To    []uint32
}
