package mime

import "bytes"

// HeaderScanner watches the header of a message that passes by in chunks of
// any size; the result does not depend on the chunks. It holds a few bounded
// values and allocates nothing for fields that it does not know.
type HeaderScanner struct {
	maxValue int
	size     int64
	fields   int
	done     bool
	junk     bool

	line  lineState
	name  [longestScanned]byte // the beginning of the name at hand, lower case
	nameN int                  // its length, as far as it matters
	space bool                 // white space behind the name at hand
	cur   int                  // index of the field at hand in scanned, -1 for others
	seen  [len(scanned)]ScannedField
}

// ScannedField is what a HeaderScanner knows of the fields of one name.
type ScannedField struct {
	Count int    // fields of this name
	value []byte // raw value of the first one, up to the limit
}

// Value is the unfolded value of the first field of the name. It is cut at
// the limit that NewHeaderScanner got, and empty for Received.
func (f *ScannedField) Value() string { return Unfold(f.value) }

const longestScanned = len("tls-required")

type lineState uint8

const (
	lineStart lineState = iota // at the first byte of a line
	lineCR                     // behind a CR at the beginning of a line
	lineName                   // in a field name
	lineValue                  // in a value, or in the rest of junk
)

// NewHeaderScanner keeps at most maxValue bytes of each value.
func NewHeaderScanner(maxValue int) *HeaderScanner {
	return &HeaderScanner{maxValue: maxValue, cur: -1}
}

// Done tells whether the blank line has passed.
func (s *HeaderScanner) Done() bool { return s.done }

// Size is the size of the header so far, with the blank line once it passed.
func (s *HeaderScanner) Size() int64 { return s.size }

// Fields is the number of header fields so far.
func (s *HeaderScanner) Fields() int { return s.fields }

// Junk tells whether a line was neither a field nor a continuation.
func (s *HeaderScanner) Junk() bool { return s.junk }

// Date is what is known of the Date fields.
func (s *HeaderScanner) Date() *ScannedField { return &s.seen[scanDate] }

// From is what is known of the From fields.
func (s *HeaderScanner) From() *ScannedField { return &s.seen[scanFrom] }

// MessageID is what is known of the Message-ID fields.
func (s *HeaderScanner) MessageID() *ScannedField { return &s.seen[scanMessageID] }

// Received is what is known of the Received fields: only their count.
func (s *HeaderScanner) Received() *ScannedField { return &s.seen[scanReceived] }

// References is what is known of the References fields.
func (s *HeaderScanner) References() *ScannedField { return &s.seen[scanReferences] }

// ReturnPath is what is known of the Return-Path fields.
func (s *HeaderScanner) ReturnPath() *ScannedField { return &s.seen[scanReturnPath] }

// Sender is what is known of the Sender fields.
func (s *HeaderScanner) Sender() *ScannedField { return &s.seen[scanSender] }

// Subject is what is known of the Subject fields.
func (s *HeaderScanner) Subject() *ScannedField { return &s.seen[scanSubject] }

// TLSRequired is what is known of the TLS-Required fields.
func (s *HeaderScanner) TLSRequired() *ScannedField { return &s.seen[scanTLSRequired] }

// Feed takes the next bytes of the message and tells whether the header has
// ended; bytes behind its end are not looked at.
func (s *HeaderScanner) Feed(b []byte) bool {
	for len(b) > 0 && !s.done {
		n := s.step(b)
		s.size += int64(n)
		b = b[n:]
	}
	return s.done
}

// step takes at least one byte.
func (s *HeaderScanner) step(b []byte) int {
	switch s.line {
	case lineStart:
		switch b[0] {
		case '\n':
			s.done = true
			return 1
		case '\r':
			s.line = lineCR
			return 1
		case ' ', '\t':
			s.line = lineValue
			if s.fields == 0 {
				s.junk = true
			}
			return 0
		}
		s.begin()
		return 0
	case lineCR:
		if b[0] == '\n' {
			s.done = true
			return 1
		}
		// A CR that ends no line begins a line that is no field.
		s.begin()
		s.junk = true
		s.line = lineValue
		return 0
	case lineName:
		return s.readName(b)
	}
	return s.readValue(b)
}

func (s *HeaderScanner) begin() {
	s.line, s.nameN, s.space, s.cur = lineName, 0, false, -1
}

// readName takes the bytes up to the colon, or finds that there is none.
func (s *HeaderScanner) readName(b []byte) int {
	for i, c := range b {
		switch {
		case c == ':':
			s.endName()
			return i + 1
		case c == '\n':
			s.junk = true
			s.line = lineStart
			return i + 1
		case c == ' ' || c == '\t':
			// White space may stand before the colon only.
			s.space = true
		case !isNameByte(c) || s.space:
			s.junk = true
			s.line = lineValue
			return i
		default:
			if s.nameN < longestScanned {
				s.name[s.nameN] = lower(c)
			}
			s.nameN = min(s.nameN+1, longestScanned+1)
		}
	}
	return len(b)
}

// endName is called behind the colon.
func (s *HeaderScanner) endName() {
	s.line = lineValue
	if s.nameN == 0 {
		s.junk = true
		return
	}
	s.fields++
	if s.nameN > longestScanned {
		return
	}
	for i, known := range scanned {
		if string(s.name[:s.nameN]) == known {
			s.cur = i
			s.seen[i].Count++
			return
		}
	}
}

// readValue takes the rest of a line and keeps it if it is wanted.
func (s *HeaderScanner) readValue(b []byte) int {
	n := bytes.IndexByte(b, '\n') + 1
	if n > 0 {
		s.line = lineStart
	} else {
		n = len(b)
	}
	if s.cur < 0 || s.cur == scanReceived {
		return n
	}
	if f := &s.seen[s.cur]; f.Count == 1 {
		f.value = append(f.value, b[:min(n, s.maxValue-len(f.value))]...)
	}
	return n
}
