package mime

import "strings"

// AddressKind tells an address from the marks of a group.
type AddressKind uint8

// The kinds of an Address.
const (
	Single     AddressKind = iota // an address
	GroupStart                    // IMAP: host NIL, mailbox = the group's name
	GroupEnd                      // IMAP: all NIL
)

// Address is one element of an IMAP address list. Strings are as in the
// header, without quoting and with encoded words kept.
// RFC 3501 §7.4.2
type Address struct {
	Name    string // display name, or the comment behind a bare address
	ADL     string // source route: "@a,@b"
	Mailbox string // local part; the name of a group for GroupStart
	Host    string // empty where the header has no domain
	Kind    AddressKind
}

// ParseAddresses reads an unfolded address list and keeps at most limit
// elements. Junk is read as well as can be; nothing is an error.
func ParseAddresses(s string, limit int) []Address {
	return appendAddresses(nil, s, limit)
}

func appendAddresses(list []Address, s string, limit int) []Address {
	p := addressParser{s: s, list: list, limit: len(list) + limit}
	for p.next() {
	}
	if p.group {
		p.endGroup()
	}
	return p.list
}

// maxLiteral is more than any address literal is long.
const maxLiteral = 64

type addressParser struct {
	s     string
	list  []Address
	limit int
	group bool
}

func (p *addressParser) add(a Address) {
	if p.list == nil {
		p.list = make([]Address, 0, 1)
	}
	p.list = append(p.list, a)
}

// endGroup has a place of its own, which room keeps free.
func (p *addressParser) endGroup() {
	p.group = false
	p.add(Address{Kind: GroupEnd})
}

// room tells whether one more element fits, beside the end of a group.
func (p *addressParser) room(n int) bool {
	if p.group {
		n++
	}
	return len(p.list)+n <= p.limit
}

// next reads one element; false at the end.
func (p *addressParser) next() bool {
	p.s = strings.TrimLeft(p.s, " \t,")
	if p.s == "" || !p.room(1) {
		return false
	}
	end, at := p.segment(p.s)
	text := p.s[:end]
	if end == len(p.s) {
		p.s = ""
		p.bare(text)
		return true
	}
	stop := p.s[end]
	p.s = p.s[end+1:]
	switch {
	case stop == '<':
		p.angle(text)
	case stop == ':' && !p.group && !at:
		if !p.room(2) {
			return false
		}
		p.add(Address{Kind: GroupStart, Mailbox: phrase(text)})
		p.group = true
	case stop == ';':
		p.bare(text)
		if p.group {
			p.endGroup()
		}
	default:
		p.bare(text)
	}
	return true
}

// segment finds the byte that ends the text at the beginning of s, and tells
// whether an @ stands before it. A colon ends only the name of a group.
func (p *addressParser) segment(s string) (end int, at bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			// Skipped here as in a quoted string, so that the search for the
			// end of a quoted string fails at most once in a list.
			i++
		case '"':
			// A quotation mark that is never closed is an ordinary byte.
			if n := quotedSize(s[i:]); n > 0 {
				i += n - 1
			}
		case '(':
			i += commentSize(s[i:]) - 1
		case '@':
			at = true
		case '[':
			// RFC 5321 §4.1.3: the colon of an IPv6 literal is no group's.
			if n := strings.IndexByte(s[i:min(i+maxLiteral, len(s))], ']'); at && n > 0 {
				i += n
			}
		case ':':
			if !p.group && !at {
				return i, at
			}
		case ',', ';', '<':
			return i, at
		}
	}
	return len(s), at
}

// quotedSize is the size of the quoted string that s begins with, 0 if it has
// no end.
func quotedSize(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// angle reads what follows "<".
func (p *addressParser) angle(name string) {
	end := len(p.s)
scan:
	for i := 0; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case '"':
			if n := quotedSize(p.s[i:]); n > 0 {
				i += n - 1
			}
		case '>':
			end = i
			break scan
		}
	}
	inner := p.s[:end]
	p.s = p.s[min(end+1, len(p.s)):]
	a := Address{Name: phrase(name)}
	inner = strings.TrimSpace(inner)
	if strings.HasPrefix(inner, "@") {
		// RFC 5322 §4.4: a source route ends with a colon.
		if i := strings.IndexByte(inner, ':'); i > 0 {
			a.ADL, inner = strings.TrimSpace(inner[:i]), inner[i+1:]
		}
	}
	a.Mailbox, a.Host = splitAddress(inner)
	// Up to the next separator there may be a comment, which can be a name.
	rest, _ := p.segmentAfterAngle()
	if a.Name == "" {
		a.Name = lastComment(rest)
	}
	p.add(a)
}

// segmentAfterAngle skips to the next separator and leaves a group's end.
func (p *addressParser) segmentAfterAngle() (text string, at bool) {
	if p.s == "" {
		return "", false
	}
	end, at := p.segment(p.s)
	text = p.s[:end]
	p.s = p.s[end:]
	if p.s != "" && (p.s[0] == ',' || p.s[0] == ':') {
		p.s = p.s[1:]
	}
	return text, at
}

// bare adds an address that has no angle brackets.
func (p *addressParser) bare(text string) {
	mailbox, host := splitAddress(text)
	if mailbox == "" && host == "" {
		return
	}
	p.add(Address{Name: lastComment(text), Mailbox: mailbox, Host: host})
}

// splitAddress cuts an addr-spec at its last @ and removes the quoting.
func splitAddress(s string) (mailbox, host string) {
	at := -1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if n := quotedSize(s[i:]); n > 0 {
				i += n - 1
			}
		case '(':
			i += commentSize(s[i:]) - 1
		case '@':
			at = i
		}
	}
	if at < 0 {
		return phrase(s), ""
	}
	return phrase(s[:at]), strings.ReplaceAll(phrase(s[at+1:]), " ", "")
}

// phrase removes quoting, comments and doubled white space.
// RFC 5322 §3.2.5
func phrase(s string) string {
	s = strings.TrimSpace(s)
	if !strings.ContainsAny(s, "\"(\\\t") && !strings.Contains(s, "  ") {
		return s
	}
	// The most common case needs no copy: one quoted string.
	if len(s) > 1 && s[0] == '"' && quotedSize(s) == len(s) && strings.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1]
	}
	var b strings.Builder
	space := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' || c == '\t' {
			space = true
			continue
		}
		if c == '(' {
			i += commentSize(s[i:]) - 1
			space = true
			continue
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		if c == '"' {
			if n := quotedSize(s[i:]); n > 0 {
				text, _ := unquote(s[i : i+n])
				b.WriteString(text)
				i += n - 1
				continue
			}
		}
		if c == '\\' && i+1 < len(s) {
			i++
			c = s[i]
		}
		b.WriteByte(c)
	}
	return b.String()
}

// lastComment is the text of the last comment in s: "a@b.c (Real Name)".
func lastComment(s string) string {
	text := ""
	if strings.IndexByte(s, '(') < 0 {
		return text
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			if n := quotedSize(s[i:]); n > 0 {
				i += n - 1
			}
		case '(':
			n := commentSize(s[i:])
			text = strings.TrimSpace(strings.TrimSuffix(s[i+1:i+n], ")"))
			i += n - 1
		}
	}
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
