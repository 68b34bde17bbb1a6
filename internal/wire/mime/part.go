package mime

// Param is one parameter of Content-Type or Content-Disposition as it stands
// in the header: a value is unquoted, but RFC 2231 segments ("name*0*") are
// neither joined nor decoded, which is what IMAP BODYSTRUCTURE returns.
// DecodeParam gives the decoded value.
type Param struct {
	Name  string // as written, any case
	Value string
}

// Part is a message, or a body part of a message, by its place in the bytes
// that were parsed. All offsets count from the first parsed byte.
type Part struct {
	Offset      int64 // of the header's first byte
	HeaderSize  int64 // bytes, with the blank line where there is one
	BodySize    int64 // bytes; the body follows the header immediately
	HeaderLines int64 // line ends inside the header
	BodyLines   int64 // line ends inside the body

	Type        string // lower case, never empty
	Subtype     string // lower case, never empty
	Params      []Param
	ID          string // Content-ID with its angle brackets
	Description string // unfolded, encoded words kept
	Encoding    string // lower case, "7bit" where absent
	MD5         string

	Disposition       string // lower case, empty where absent
	DispositionParams []Param
	Language          []string
	Location          string

	// Envelope is set for a message: the root and each embedded message.
	Envelope *Envelope
	// Children are the body parts of a multipart (at least one), or the one
	// embedded message of a message/rfc822 or message/global part.
	Children []Part
}

// BodyOffset is where the body begins.
func (p *Part) BodyOffset() int64 { return p.Offset + p.HeaderSize }

// End is the offset behind the body's last byte.
func (p *Part) End() int64 { return p.Offset + p.HeaderSize + p.BodySize }

// IsMultipart tells whether Children are body parts.
func (p *Part) IsMultipart() bool { return p.Type == "multipart" }

// Embedded is the message inside a message/rfc822 or message/global part, nil
// for any other part.
func (p *Part) Embedded() *Part {
	if p.Type != "message" || len(p.Children) != 1 {
		return nil
	}
	return &p.Children[0]
}

// Section finds the part with an IMAP part number; p must be a message. The
// empty path is p itself. The content of a numbered section is the found
// part's body; its MIME section is the found part's header; HEADER and TEXT
// behind a number are those of its Embedded message.
// RFC 3501 §6.4.5
func (p *Part) Section(path []int) (*Part, bool) {
	cur, whole := p, true // whole: cur stands for a message, not for a body part
	for _, n := range path {
		if !whole && !cur.IsMultipart() {
			if cur = cur.Embedded(); cur == nil {
				return nil, false
			}
		}
		whole = false
		switch {
		case n < 1:
			return nil, false
		case cur.IsMultipart():
			if n > len(cur.Children) {
				return nil, false
			}
			cur = &cur.Children[n-1]
		case n > 1:
			return nil, false
		}
		// Part 1 of a message that is no multipart is its body: cur stays.
	}
	return cur, true
}

// Limits bound what Parse keeps. A zero field stands for its default.
type Limits struct {
	Depth       int // nested parts, default 50, at most 100
	Parts       int // parts in all, default 1000
	HeaderBytes int // bytes looked at in one header, default 256 KiB
	TotalBytes  int // header bytes looked at in all headers, default 1 MiB
	Addresses   int // addresses kept in all envelopes, default 10000
	Params      int // parameters and languages kept in all parts, default 5000
}

const maxDepth = 100

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.Depth, 50)
	set(&l.Parts, 1000)
	set(&l.HeaderBytes, 256<<10)
	set(&l.TotalBytes, 1<<20)
	set(&l.Addresses, 10000)
	set(&l.Params, 5000)
	l.Depth = min(l.Depth, maxDepth)
	return l
}
