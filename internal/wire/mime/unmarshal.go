package mime

import (
	"errors"
	"math"
)

// ErrStored is the error of Unmarshal for bytes that Marshal did not write.
var ErrStored = errors.New("mime: not a stored message structure")

// Unmarshal reads what Marshal wrote. Its strings share one copy of b. A part
// that it returns can be trusted: ranges are inside those of the parent and in
// order, and the promises about Children hold.
func Unmarshal(b []byte) (*Part, error) {
	d := decoder{s: string(b)}
	version := d.byte()
	var c counts
	c.parts, c.params, c.addresses = d.count(minPart), d.count(2), d.count(1)
	c.envelopes, c.languages = d.count(minEnvelope), d.count(2)
	if d.bad || version != storedVersion || c.parts < 1 {
		return nil, ErrStored
	}
	d.parts = make([]Part, c.parts-1)
	d.params = makeSlab[Param](c.params)
	d.addresses = makeSlab[Address](c.addresses)
	d.envelopes = makeSlab[Envelope](c.envelopes)
	d.languages = makeSlab[string](c.languages)
	root := &Part{}
	d.part(root, span{0, math.MaxInt64}, 0)
	rest := len(d.s) + len(d.parts) + len(d.params) + len(d.addresses) + len(d.envelopes) + len(d.languages)
	if d.bad || rest > 0 || root.Envelope == nil {
		return nil, ErrStored
	}
	return root, nil
}

func makeSlab[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, n)
}

// decoder reads from the front of s; the slabs hold what is not used yet.
type decoder struct {
	s         string
	bad       bool
	parts     []Part
	params    []Param
	addresses []Address
	envelopes []Envelope
	languages []string
}

func (d *decoder) fail() { d.bad, d.s = true, "" }

// take cuts n elements from a slab; nil for none.
func take[T any](d *decoder, slab *[]T, n int) []T {
	if n == 0 {
		return nil
	}
	if n > len(*slab) {
		d.fail()
		return nil
	}
	out := (*slab)[:n:n]
	*slab = (*slab)[n:]
	return out
}

func (d *decoder) byte() byte {
	if d.s == "" {
		d.fail()
		return 0
	}
	c := d.s[0]
	d.s = d.s[1:]
	return c
}

func (d *decoder) number() int64 {
	var v uint64
	for shift := 0; shift < 63; shift += 7 {
		c := d.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			// One value has one form, and it is the short one.
			if c == 0 && shift > 0 {
				d.fail()
			}
			return int64(v)
		}
	}
	d.fail()
	return 0
}

// The least sizes of stored things keep a count from asking for much memory.
const (
	minPart     = 9
	minEnvelope = 9
)

// count is a number of things of at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.number()
	if n > int64(len(d.s)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count(1)
	out := d.s[:n]
	d.s = d.s[n:]
	return out
}

// present reads a string that a flag announced.
func (d *decoder) present() string {
	out := d.string()
	if out == "" {
		d.fail()
	}
	return out
}

// span is where a part may lie.
type span struct{ from, end int64 }

func (d *decoder) part(p *Part, in span, depth int) {
	if depth > maxDepth+1 {
		d.fail()
		return
	}
	flags := d.byte()
	d.media(p)
	p.Encoding = word8(d, encodings[:])
	d.ranges(p, in)
	p.Params = d.paramList()
	d.details(p, flags)
	if flags&hasEnvelope != 0 {
		if env := take(d, &d.envelopes, 1); env != nil {
			p.Envelope = &env[0]
			d.envelope(p.Envelope)
		}
	}
	if flags&hasChildren != 0 {
		p.Children = take(d, &d.parts, d.count(1))
		if p.Children == nil {
			d.fail()
		}
	}
	d.promises(p)
	in = span{p.BodyOffset(), p.End()}
	for i := range p.Children {
		if d.bad {
			return
		}
		child := &p.Children[i]
		d.part(child, in, depth+1)
		if isMessage(p) != (child.Envelope != nil) {
			d.fail()
		}
		in.from = child.End()
	}
}

// promises checks that the kind of a part fits its number of children.
func (d *decoder) promises(p *Part) {
	switch n := len(p.Children); {
	case p.IsMultipart() && n == 0, isMessage(p) && n != 1, n > 0 && !p.IsMultipart() && !isMessage(p):
		d.fail()
	}
}

func (d *decoder) media(p *Part) {
	i := int(d.byte())
	switch {
	case i == 0:
		p.Type, p.Subtype = d.string(), d.string()
		if p.Type == "" || p.Subtype == "" {
			d.fail()
		}
	case i <= len(mediaTypes):
		p.Type, p.Subtype = mediaTypes[i-1][0], mediaTypes[i-1][1]
	default:
		d.fail()
	}
}

// word8 reads a word of a table, or one that stands for itself.
func word8(d *decoder, table []string) string {
	i := int(d.byte())
	switch {
	case i == 0:
		return d.string()
	case i <= len(table):
		return table[i-1]
	}
	d.fail()
	return ""
}

// ranges reads offset and sizes and keeps them in their span.
func (d *decoder) ranges(p *Part, in span) {
	room := in.end - in.from
	bounded := func() int64 {
		n := d.number()
		if n > room {
			d.fail()
			return 0
		}
		room -= n
		return n
	}
	p.Offset = in.from + bounded()
	p.HeaderSize = bounded()
	p.HeaderLines = d.number()
	p.BodySize = bounded()
	p.BodyLines = d.number()
	if p.HeaderLines > p.HeaderSize || p.BodyLines > p.BodySize {
		d.fail()
	}
}

func (d *decoder) details(p *Part, flags byte) {
	if flags&hasID != 0 {
		p.ID = d.present()
	}
	if flags&hasDescription != 0 {
		p.Description = d.present()
	}
	if flags&hasMD5 != 0 {
		p.MD5 = d.present()
	}
	if flags&hasDisposition != 0 {
		p.Disposition = d.present()
		p.DispositionParams = d.paramList()
	}
	if flags&hasLanguage != 0 {
		p.Language = take(d, &d.languages, d.count(1))
		for i := range p.Language {
			p.Language[i] = d.present()
		}
	}
	if flags&hasLocation != 0 {
		p.Location = d.present()
	}
}

func (d *decoder) paramList() []Param {
	list := take(d, &d.params, d.count(1))
	for i := range list {
		list[i].Name = d.string()
		list[i].Value = d.string()
	}
	return list
}

func (d *decoder) envelope(e *Envelope) {
	flags := d.byte()
	if flags&^envelopeFlags != 0 {
		d.fail()
	}
	e.Date, e.Subject = d.string(), d.string()
	e.From = d.addressList()
	e.Sender, e.ReplyTo = e.From, e.From
	if flags&senderIsFrom == 0 {
		e.Sender = d.addressList()
	}
	if flags&replyToIsFrom == 0 {
		e.ReplyTo = d.addressList()
	}
	e.To, e.Cc, e.Bcc = d.addressList(), d.addressList(), d.addressList()
	e.InReplyTo, e.MessageID = d.string(), d.string()
}

func (d *decoder) addressList() []Address {
	list := take(d, &d.addresses, d.count(1))
	for i := range list {
		a := &list[i]
		flags := d.byte()
		a.Kind = AddressKind(flags & kindMask)
		if a.Kind > GroupEnd || flags > kindMask|hasName|hasADL || a.Kind != Single && flags > kindMask {
			d.fail()
		}
		if a.Kind == GroupEnd {
			continue
		}
		if flags&hasName != 0 {
			a.Name = d.string()
		}
		if flags&hasADL != 0 {
			a.ADL = d.string()
		}
		a.Mailbox = d.string()
		if a.Kind == Single {
			a.Host = d.string()
		}
	}
	return list
}
