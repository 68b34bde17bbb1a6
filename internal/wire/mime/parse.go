package mime

import (
	"bytes"
	"fmt"
	"io"
)

// maxDelimiter is the longest line, with its end, that can be a multipart
// delimiter. RFC 2046 §5.1.1 allows a boundary of 70 characters; more is
// tolerated.
const maxDelimiter = 1024

// Parser finds the structure of a message that is written to it in chunks of
// any size; the result does not depend on the chunks. It keeps what Limits
// allow and no body.
type Parser struct {
	lim      Limits
	stack    []frame
	root     *Part
	off      int64 // where the current line begins
	lines    int64 // line ends before off
	lastEOL  int64 // length of the line end just before off
	inHeader bool  // of the top frame
	open     int   // boundaries that can match

	// A line that is not complete yet: its length, its first bytes (up to
	// maxDelimiter), and whether its last byte is CR.
	pending   int64
	carry     []byte
	pendingCR bool

	head      []byte // the kept bytes of the header at hand
	totalLeft int
	partsLeft int
	addrsLeft int
	paramLeft int
}

// frame is a part whose end is not known yet.
type frame struct {
	part     Part
	boundary string // of a multipart
	open     bool   // the boundary can still match
	message  bool   // the part is a whole message
	digest   bool   // the parent is multipart/digest
	lines0   int64  // line ends before the header, then before the body
}

// NewParser returns a Parser for one message.
func NewParser(lim Limits) *Parser {
	p := &Parser{}
	p.Reset(lim)
	return p
}

// Reset makes the Parser ready for another message; it keeps its buffers.
func (p *Parser) Reset(lim Limits) {
	lim = lim.withDefaults()
	if p.stack == nil {
		p.stack = make([]frame, 0, 2)
		p.head = make([]byte, 0, 2<<10)
	}
	*p = Parser{
		lim:       lim,
		stack:     p.stack[:0],
		head:      p.head[:0],
		carry:     p.carry[:0],
		totalLeft: lim.TotalBytes,
		partsLeft: lim.Parts,
		addrsLeft: lim.Addresses,
		paramLeft: lim.Params,
	}
	p.push(frame{message: true})
}

// Parse reads a message to its end and returns its structure. The only error
// is that of the reader; the part is then nil.
func Parse(r io.Reader, lim Limits) (*Part, error) {
	p := NewParser(lim)
	if _, err := io.Copy(p, r); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	return p.Finish(), nil
}

// ParseBytes is Parse for a message in memory.
func ParseBytes(b []byte, lim Limits) *Part {
	p := NewParser(lim)
	_, _ = p.Write(b) // never fails
	return p.Finish()
}

// Write takes the next bytes of the message. It never fails.
func (p *Parser) Write(b []byte) (int, error) {
	size := len(b)
	for len(b) > 0 {
		if !p.inHeader && p.open == 0 {
			p.off += int64(len(b))
			p.lines += int64(bytes.Count(b, []byte{'\n'}))
			break
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			p.stash(b)
			break
		}
		p.endLine(b[:i+1])
		b = b[i+1:]
	}
	return size, nil
}

// Finish ends the message and returns its structure. The Parser is spent
// until Reset.
func (p *Parser) Finish() *Part {
	if n := p.pending; n > 0 {
		line := p.carry
		p.pending, p.carry = 0, p.carry[:0]
		if n > maxDelimiter || !p.delimiter(line, n) {
			if p.inHeader && n <= maxDelimiter {
				p.keep(line)
			}
			p.off += n
		}
	}
	p.closeTo(0, p.off, p.lines)
	return p.root
}

// stash keeps the beginning of an incomplete line.
func (p *Parser) stash(b []byte) {
	p.pendingCR = b[len(b)-1] == '\r'
	before := p.pending
	p.pending += int64(len(b))
	switch {
	case p.pending <= maxDelimiter:
		p.carry = append(p.carry, b...)
	case before <= maxDelimiter:
		// Too long for a delimiter: if this is a header, it is a field.
		if p.inHeader {
			p.keep(p.carry)
			p.keep(b)
		}
		p.carry = p.carry[:0]
	case p.inHeader:
		p.keep(b)
	}
}

// endLine takes the rest of a line, with its LF.
func (p *Parser) endLine(rest []byte) {
	n := p.pending + int64(len(rest))
	cr := len(rest) > 1 && rest[len(rest)-2] == '\r' || len(rest) == 1 && p.pending > 0 && p.pendingCR
	line := rest
	if p.pending > 0 && n <= maxDelimiter {
		p.carry = append(p.carry, rest...)
		line = p.carry
	} else if p.pending > 0 && p.pending <= maxDelimiter && p.inHeader {
		p.keep(p.carry)
	}
	p.pending, p.carry = 0, p.carry[:0]

	if n > maxDelimiter || !p.delimiter(line, n) {
		if p.inHeader {
			p.keep(line)
		}
		p.off += n
	}
	p.lines++
	p.lastEOL = 1
	if cr {
		p.lastEOL = 2
	}
	// A delimiter is at least three bytes long, so this is no header that
	// has only just begun.
	if p.inHeader && n == p.lastEOL {
		p.headerDone()
	}
}

// keep adds to the header at hand within its limits.
func (p *Parser) keep(b []byte) {
	n := min(len(b), p.lim.HeaderBytes-len(p.head), p.totalLeft)
	p.head = append(p.head, b[:n]...)
	p.totalLeft -= n
}

// delimiter acts on a line if it is a delimiter of an open multipart, and
// then moves off behind it.
// RFC 2046 §5.1.1
func (p *Parser) delimiter(line []byte, n int64) bool {
	if p.open == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return false
	}
	text := bytes.TrimRight(line[2:], " \t\r\n")
	for i := len(p.stack) - 1; i >= 0; i-- {
		f := &p.stack[i]
		if !f.open || !bytes.HasPrefix(text, []byte(f.boundary)) {
			continue
		}
		tail := text[len(f.boundary):]
		if last := string(tail) == "--"; last || len(tail) == 0 {
			p.turn(i, last, n)
			return true
		}
	}
	return false
}

// turn ends all parts inside the multipart at stack[i] and begins its next.
func (p *Parser) turn(i int, last bool, n int64) {
	// The line end before a delimiter belongs to the delimiter.
	end, endLines := p.off-p.lastEOL, p.lines
	if p.lastEOL > 0 {
		endLines--
	}
	p.closeTo(i+1, end, endLines)
	p.off += n
	f := &p.stack[i]
	if last || p.partsLeft <= 0 {
		f.open = false
		p.open--
		return
	}
	// The caller counts this line only afterwards.
	digest := f.part.Subtype == "digest"
	p.push(frame{part: Part{Offset: p.off}, digest: digest, lines0: p.lines + 1})
}

func (p *Parser) push(f frame) {
	f.part.Offset = p.off
	p.stack = append(p.stack, f)
	p.head = p.head[:0]
	p.inHeader = true
	p.partsLeft--
}

// headerDone is called behind the blank line.
func (p *Parser) headerDone() {
	f := &p.stack[len(p.stack)-1]
	p.endHeader(f, p.off, p.lines)
	deep := len(p.stack) >= p.lim.Depth
	switch {
	case f.part.Type == "multipart":
		f.boundary = boundary(f.part.Params)
		if f.boundary == "" || deep {
			fallBack(&f.part)
			return
		}
		f.open = true
		p.open++
	case isMessage(&f.part):
		if deep || p.partsLeft <= 0 {
			fallBack(&f.part)
			return
		}
		p.push(frame{message: true, lines0: p.lines})
	}
}

func (p *Parser) endHeader(f *frame, end, lines int64) {
	f.part.HeaderSize = max(0, end-f.part.Offset)
	f.part.HeaderLines = max(0, lines-f.lines0)
	f.lines0 = lines
	p.inHeader = false
	p.describe(f)
}

// closeTo ends all parts above depth. A part reaches at least as far as its
// children: a child without body ends at the delimiter itself, behind the
// line end that would belong to the delimiter.
func (p *Parser) closeTo(depth int, end, lines int64) {
	for len(p.stack) > depth {
		top := len(p.stack) - 1
		f := &p.stack[top]
		if p.inHeader {
			p.endHeader(f, end, lines)
		} else {
			f.part.BodySize = max(0, end-f.part.BodyOffset())
			f.part.BodyLines = max(0, lines-f.lines0)
		}
		if f.open {
			p.open--
		}
		settle(&f.part)
		if stop := f.part.End(); stop > end {
			end = stop
		}
		if top == 0 {
			// A copy, since the rest of the Parser is to be freed or used again.
			root := f.part
			p.root = &root
		} else {
			up := &p.stack[top-1].part
			up.Children = append(up.Children, f.part)
		}
		p.stack[top] = frame{}
		p.stack = p.stack[:top]
	}
}

// settle makes a closed part hold what Part promises about Children.
func settle(part *Part) {
	if len(part.Children) > 0 {
		return
	}
	switch {
	case part.Type == "multipart":
		fallBack(part)
	case isMessage(part) && part.BodySize > 0:
		fallBack(part)
	case isMessage(part):
		part.Children = []Part{{
			Offset: part.End(), Type: "text", Subtype: "plain", Encoding: "7bit", Envelope: &Envelope{},
		}}
	}
}

// fallBack makes a part whose structure cannot be followed plain text.
func fallBack(part *Part) {
	part.Type, part.Subtype, part.Params = "text", "plain", nil
}

func isMessage(part *Part) bool {
	return part.Type == "message" && (part.Subtype == "rfc822" || part.Subtype == "global")
}
