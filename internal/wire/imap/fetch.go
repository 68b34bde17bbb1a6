package imap

import (
	"math"
	"strconv"
)

// Fetch is the FETCH or UID FETCH command. RFC 3501 §6.4.5
type Fetch struct {
	Set SeqSet
	UID bool
	// Items are in the order asked for; macros are spelled out.
	Items []FetchItem
}

// FetchKind is the kind of a FetchItem.
type FetchKind uint8

// The kinds of RFC 3501 §6.4.5.
const (
	FetchFlags FetchKind = iota + 1
	FetchUID
	FetchInternalDate
	FetchSize // RFC822.SIZE
	FetchEnvelope
	FetchBody          // BODY, the structure without extension data
	FetchBodyStructure // BODYSTRUCTURE
	FetchSection       // BODY[section]<partial> or BODY.PEEK
	FetchRFC822        // as BODY[], under its old name
	FetchRFC822Header  // as BODY.PEEK[HEADER]
	FetchRFC822Text    // as BODY[TEXT]
)

// FetchItem is one thing asked for of each message.
type FetchItem struct {
	Kind FetchKind
	// Section, Peek and Partial are those of a FetchSection.
	Section Section
	// Peek says that reading does not set \Seen.
	Peek bool
	// Partial is nil for the whole section.
	Partial *Partial
}

// Partial is a part of a section: Count octets from Offset on.
type Partial struct{ Offset, Count int64 }

// Specifier tells which text of a part a section means.
type Specifier uint8

// The specifiers of RFC 3501 §6.4.5. SectionAll is the whole part.
const (
	SectionAll Specifier = iota
	SectionHeader
	SectionFields    // HEADER.FIELDS
	SectionFieldsNot // HEADER.FIELDS.NOT
	SectionText
	SectionMIME
)

// Section is a section of a message, the inside of BODY[...].
type Section struct {
	// Path has the part numbers from the outermost on, empty for the
	// message itself.
	Path      []int
	Specifier Specifier
	// Fields are the header names of SectionFields and SectionFieldsNot as
	// they were sent.
	Fields []string
}

// SetsSeen reports whether reading the item sets the flag \Seen.
func (f FetchItem) SetsSeen() bool {
	return f.Kind == FetchSection && !f.Peek || f.Kind == FetchRFC822 || f.Kind == FetchRFC822Text
}

// AppendName appends the name under which the item is answered.
//
// RFC 3501 §7.4.2
func (f FetchItem) AppendName(dst []byte) []byte {
	if f.Kind != FetchSection {
		return append(dst, fetchNames[f.Kind]...)
	}
	dst = append(dst, "BODY["...)
	dst = f.Section.append(dst)
	dst = append(dst, ']')
	if f.Partial != nil {
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, f.Partial.Offset, 10)
		dst = append(dst, '>')
	}
	return dst
}

// String returns the item as a command has it.
func (f FetchItem) String() string {
	if f.Kind != FetchSection {
		return fetchNames[f.Kind]
	}
	dst := []byte("BODY")
	if f.Peek {
		dst = append(dst, ".PEEK"...)
	}
	dst = append(dst, '[')
	dst = f.Section.append(dst)
	dst = append(dst, ']')
	if f.Partial != nil {
		dst = append(dst, '<')
		dst = strconv.AppendInt(dst, f.Partial.Offset, 10)
		dst = append(dst, '.')
		dst = strconv.AppendInt(dst, f.Partial.Count, 10)
		dst = append(dst, '>')
	}
	return string(dst)
}

func (s Section) append(dst []byte) []byte {
	for i, n := range s.Path {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	if s.Specifier == SectionAll {
		return dst
	}
	if len(s.Path) > 0 {
		dst = append(dst, '.')
	}
	dst = append(dst, specifierNames[s.Specifier]...)
	if s.Specifier != SectionFields && s.Specifier != SectionFieldsNot {
		return dst
	}
	dst = append(dst, " ("...)
	for i, name := range s.Fields {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendAString(dst, name)
	}
	return append(dst, ')')
}

func (d *Decoder) fetch(uid bool) Request {
	d.space()
	req := Fetch{UID: uid, Set: d.seqSet()}
	d.space()
	if !d.take('(') {
		req.Items = d.fetchItem(nil)
		d.finish()
		return req
	}
	for d.err == nil {
		req.Items = d.fetchItem(req.Items)
		if len(req.Items) > d.limits.Items {
			d.fail("too many items")
		}
		if d.take(')') {
			break
		}
		d.space()
	}
	d.finish()
	return req
}

// fetchItem takes one item. A macro is taken in a list too, as clients send it
// there.
func (d *Decoder) fetchItem(items []FetchItem) []FetchItem {
	name := upper(d.run(func(c byte) bool { return c != '[' && isAtomChar(c) }))
	if macro, ok := fetchMacros[name]; ok {
		for _, kind := range macro {
			items = append(items, FetchItem{Kind: kind})
		}
		return items
	}
	if kind, ok := fetchKinds[name]; ok {
		return append(items, FetchItem{Kind: kind})
	}
	if name == "BODY" && d.peek() != '[' {
		return append(items, FetchItem{Kind: FetchBody})
	}
	if name != "BODY" && name != "BODY.PEEK" {
		d.fail("unknown fetch item")
		return items
	}
	d.expect('[', "a section")
	item := FetchItem{Kind: FetchSection, Peek: name == "BODY.PEEK", Section: d.section()}
	d.expect(']', "the end of the section")
	if d.take('<') {
		item.Partial = d.partial()
	}
	return append(items, item)
}

// maxPath is how many part numbers a section may have. No message that we
// take apart nests deeper.
const maxPath = 200

// section takes the inside of BODY[...].
//
// RFC 3501 §9 section-spec
func (d *Decoder) section() Section {
	var s Section
	for d.err == nil && d.peek() != ']' {
		if c := d.peek(); c < '0' || c > '9' {
			d.specifier(&s)
			return s
		}
		n, size, ok := parseSeqNumber(d.line[d.pos:])
		if !ok || n > math.MaxInt32 || len(s.Path) == maxPath {
			d.fail("bad part number")
			return s
		}
		d.pos += size
		s.Path = append(s.Path, int(n))
		if !d.take('.') {
			return s
		}
		if d.peek() == ']' {
			d.fail("bad section")
		}
	}
	return s
}

func (d *Decoder) specifier(s *Section) {
	switch upper(d.run(func(c byte) bool { return c != ']' && isAtomChar(c) })) {
	case "HEADER":
		s.Specifier = SectionHeader
	case "TEXT":
		s.Specifier = SectionText
	case "MIME":
		// RFC 3501 §9 section-text: only a part has a MIME header.
		if len(s.Path) == 0 {
			d.fail("MIME without a part number")
		}
		s.Specifier = SectionMIME
	case "HEADER.FIELDS":
		s.Specifier = SectionFields
		s.Fields = d.fields()
	case "HEADER.FIELDS.NOT":
		s.Specifier = SectionFieldsNot
		s.Fields = d.fields()
	default:
		d.fail("bad section")
	}
}

// fields takes a list of header names.
func (d *Decoder) fields() []string {
	d.space()
	d.expect('(', "a list of header names")
	var fields []string
	for d.err == nil {
		fields = append(fields, d.astring())
		if len(fields) > d.limits.Items {
			d.fail("too many header names")
		}
		if d.take(')') {
			break
		}
		d.space()
	}
	return fields
}

func (d *Decoder) partial() *Partial {
	var p Partial
	p.Offset = d.number()
	d.expect('.', "the count of a partial")
	p.Count = d.number()
	if p.Count == 0 {
		d.fail("a partial of no octets")
	}
	d.expect('>', "the end of a partial")
	return &p
}
