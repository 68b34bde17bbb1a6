package sevenbit

import (
	"bufio"
	"io"
	"strings"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Plan is a conversion that is known to be possible.
type Plan struct {
	src   io.ReaderAt
	size  int64 // of the message as it is
	edits []edit
	grows int64
}

// Plan finds out what is to change in the message that was inspected. An error
// that is an Obstacle says that it cannot be made 7-bit.
func (r *Report) Plan(src io.ReaderAt) (*Plan, error) {
	plan := &Plan{src: src, size: r.size}
	if r.SevenBit() {
		return plan, nil
	}
	p := &planner{plan: plan, in: bufio.NewReaderSize(span(src, 0, r.size), chunk), buf: make([]byte, chunk)}
	if err := p.part(r.root, place{}); err != nil {
		return nil, err
	}
	return plan, nil
}

// Size is what WriteTo writes.
func (p *Plan) Size() int64 { return p.size + p.grows }

// Changes tells whether WriteTo writes another message than it reads.
func (p *Plan) Changes() bool { return len(p.edits) > 0 }

// add appends an edit; edits come in the order of their places.
func (p *Plan) add(e edit, size int64) {
	p.edits = append(p.edits, e)
	p.grows += size - (e.end - e.off)
}

// planner goes through a message once, from its first octet to its last.
type planner struct {
	plan    *Plan
	in      *bufio.Reader
	at      int64 // what in reads next
	buf     []byte
	head    []byte // the header at hand
	headers int64  // octets of all headers so far
}

// place is what a part has around it.
type place struct {
	sealed bool // inside multipart/signed or multipart/encrypted
	digest bool // right in a multipart/digest
}

// part goes through one part, with the text that stands before it.
func (p *planner) part(q *mime.Part, in place) error {
	if err := p.between(q.Offset, in); err != nil {
		return err
	}
	if err := p.header(q); err != nil {
		return err
	}
	if isLeaf(q) {
		return p.leaf(q, in)
	}
	if err := p.relabel(q, in); err != nil {
		return err
	}
	inside := place{sealed: in.sealed || isSealed(q), digest: q.IsMultipart() && q.Subtype == "digest"}
	for i := range q.Children {
		if err := p.part(&q.Children[i], inside); err != nil {
			return err
		}
	}
	return p.between(q.End(), inside)
}

// isLeaf tells whether a part is encoded as a whole. Of all messages, those of
// RFC 6532 §3.7 may be, and have to be: their headers are not ASCII.
func isLeaf(q *mime.Part) bool { return len(q.Children) == 0 || isGlobal(q) }

func isGlobal(q *mime.Part) bool {
	return q.Type == "message" && strings.HasPrefix(q.Subtype, "global")
}

// isSealed tells whether the content of a multipart is not to be touched
// (RFC 1847 §2.1, §2.2).
func isSealed(q *mime.Part) bool {
	return q.IsMultipart() && (q.Subtype == "signed" || q.Subtype == "encrypted")
}

// between takes delimiters, preambles and epilogues up to an offset.
func (p *planner) between(end int64, in place) error {
	seen, err := p.measure(end)
	switch {
	case err != nil || seen.SevenBit():
		return err
	case in.sealed:
		return SealedPart
	}
	return Between
}

// measure looks at the octets up to an offset.
func (p *planner) measure(end int64) (Octets, error) {
	var m meter
	n := end - p.at
	p.at = end
	switch {
	case n == 0:
		return Octets{}, nil
	case n < 0:
		return Octets{}, Composite // parts do not overlap
	}
	_, err := io.CopyBuffer(&m, io.LimitReader(p.in, n), p.buf)
	return m.end(), err
}

// header reads the header of a part.
func (p *planner) header(q *mime.Part) error {
	p.headers += q.HeaderSize
	if q.HeaderSize > maxHeader || p.headers > maxHeaders {
		// The parser has not seen all of it.
		return TooComplex
	}
	if n := int(q.HeaderSize); n > cap(p.head) {
		p.head = make([]byte, n)
	}
	p.head = p.head[:q.HeaderSize]
	if _, err := io.ReadFull(p.in, p.head); err != nil {
		return err
	}
	p.at += q.HeaderSize
	var m meter
	_, _ = m.Write(p.head) // never fails
	switch seen := m.end(); {
	case seen.High:
		return EightBitHeader
	case !seen.SevenBit():
		return BadHeader
	}
	return nil
}
