package mime

import "strings"

// describe fills the top part from the kept header bytes.
func (p *Parser) describe(f *frame) {
	d := describer{p: p, f: f}
	if f.message {
		f.part.Envelope = &Envelope{}
	}
	for field := range Header(p.head).All() {
		d.field(field)
	}
	d.finish()
}

type describer struct {
	p        *Parser
	f        *frame
	seenType bool
	seenDisp bool
}

// longestName is the length of the longest field name that describe knows.
const longestName = len("content-transfer-encoding")

func (d *describer) field(field Field) {
	if len(field.Name) < 2 || len(field.Name) > longestName {
		return
	}
	var buf [longestName]byte
	name := lowerInto(buf[:0], field.Name)
	if strings.HasPrefix(string(name), "content-") {
		d.content(name[len("content-"):], field)
		return
	}
	if d.f.message {
		d.p.addrsLeft -= d.f.part.Envelope.field(name, field, d.p.addrsLeft)
	}
}

func (d *describer) content(name []byte, field Field) {
	part := &d.f.part
	switch string(name) {
	case "type":
		if !d.seenType {
			d.seenType = true
			d.contentType(field.Text())
		}
	case "disposition":
		if !d.seenDisp {
			d.seenDisp = true
			value, rest := cutToken(field.Text(), ";")
			part.Disposition = strings.ToLower(value)
			part.DispositionParams = d.params(rest)
			// RFC 2183 §2.8: an unknown disposition is an attachment.
			if part.Disposition == "" && part.DispositionParams != nil {
				part.Disposition = "attachment"
			}
		}
	case "transfer-encoding":
		if part.Encoding == "" {
			value, _ := cutToken(field.Text(), "; \t")
			part.Encoding = known(strings.ToLower(value))
		}
	case "id":
		first(&part.ID, field)
	case "description":
		first(&part.Description, field)
	case "md5":
		first(&part.MD5, field)
	case "location":
		if part.Location == "" {
			// RFC 2557 §4.4.2: a folded URI has no white space of its own.
			part.Location = strings.Join(strings.Fields(field.Text()), "")
		}
	case "language":
		if part.Language == nil {
			part.Language = splitList(field.Text(), d.p.paramLeft)
			d.p.paramLeft -= len(part.Language)
		}
	}
}

func (d *describer) contentType(text string) {
	part := &d.f.part
	major, rest := cutToken(text, "/;")
	if !strings.HasPrefix(rest, "/") {
		// RFC 2045 §5.2: what has no subtype is text/plain.
		_, rest = cutToken(text, ";")
		part.Params = d.params(rest)
		return
	}
	minor, rest := cutToken(rest[1:], "; \t")
	if i := strings.IndexByte(rest, ';'); i >= 0 {
		rest = rest[i:]
	}
	part.Params = d.params(rest)
	if !isToken(major) || !isToken(minor) {
		return
	}
	part.Type, part.Subtype = known(strings.ToLower(major)), known(strings.ToLower(minor))
}

func (d *describer) params(text string) []Param {
	list := parseParams(text, d.p.paramLeft)
	d.p.paramLeft -= len(list)
	return list
}

func (d *describer) finish() {
	part := &d.f.part
	if part.Type == "" {
		part.Type, part.Subtype = "text", "plain"
		// RFC 2046 §5.1.5
		if d.f.digest && !d.seenType {
			part.Type, part.Subtype = "message", "rfc822"
		}
	}
	if part.Encoding == "" {
		part.Encoding = "7bit"
	}
	// RFC 2046 §5.2.1 forbids to encode a message; the bytes of one that is
	// encoded all the same are no message, but a client can decode them.
	if isMessage(part) && (part.Encoding == "base64" || part.Encoding == "quoted-printable") {
		part.Type, part.Subtype = "application", "octet-stream"
	}
	if part.Envelope != nil {
		part.Envelope.complete()
	}
}

// first sets a value from the first field of its name.
func first(value *string, field Field) {
	if *value == "" {
		*value = field.Text()
	}
}

func lowerInto(dst, src []byte) []byte {
	for _, c := range src {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
