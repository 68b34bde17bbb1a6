package sevenbit

import (
	"bytes"
	"encoding/binary"
)

// maxLine is what a line may have without its CRLF (RFC 5321 §4.5.3.1.6,
// RFC 5322 §2.1.1).
const maxLine = 998

// Octets is what keeps a text from being 7bit data (RFC 2045 §2.7).
type Octets struct {
	High bool // octets beyond ASCII
	Long bool // lines over 998 octets
	NUL  bool
	Bare bool // a CR without LF or a LF without CR
}

// SevenBit tells whether there is nothing of the kind.
func (o Octets) SevenBit() bool { return o == Octets{} }

// meter looks at the octets that are written to it, in chunks of any size. Its
// first octet begins a line.
type meter struct {
	seen Octets
	line int  // octets of the line at hand
	cr   bool // a CR is held back: what follows decides on it
}

func (m *meter) Write(p []byte) (int, error) {
	m.seen.High = m.seen.High || High(p)
	m.seen.NUL = m.seen.NUL || bytes.IndexByte(p, 0) >= 0
	for rest := p; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			m.text(rest)
			return len(p), nil
		}
		m.text(rest[:i])
		m.seen.Bare = m.seen.Bare || !m.cr
		m.line, m.cr = 0, false
		rest = rest[i+1:]
	}
}

// text takes octets without LF.
func (m *meter) text(p []byte) {
	if len(p) == 0 {
		return
	}
	if m.cr {
		m.seen.Bare = true
		m.line++
	}
	m.cr = p[len(p)-1] == '\r'
	if m.cr {
		p = p[:len(p)-1]
	}
	m.seen.Bare = m.seen.Bare || bytes.IndexByte(p, '\r') >= 0
	m.line += len(p)
	m.seen.Long = m.seen.Long || m.line > maxLine
}

// end is what was seen of a text that is over.
func (m *meter) end() Octets {
	m.seen.Bare = m.seen.Bare || m.cr
	return m.seen
}

// High tells whether there are octets beyond ASCII. It looks at many at once, as
// most mail has none.
func High(p []byte) bool {
	const mask = 0x8080808080808080
	for ; len(p) >= 32; p = p[32:] {
		a, b := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		c, d := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		if (a|b|c|d)&mask != 0 {
			return true
		}
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
