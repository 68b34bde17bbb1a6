package sevenbit

import (
	"bytes"
	"strings"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Names of transfer encodings (RFC 2045 §6.1).
const (
	base64Name = "base64"
	quotedName = "quoted-printable"
)

const encodingField = "Content-Transfer-Encoding"

// relabel lets the header of a part whose body is, or will be, 7-bit say so.
// Nothing 8-bit may be said to be inside of what is 7bit (RFC 2045 §6.4).
func (p *planner) relabel(q *mime.Part, in place) error {
	if in.sealed || q.Encoding != "8bit" && q.Encoding != "binary" {
		return nil
	}
	return p.label(q, "7bit", "")
}

// label puts the encoding into the header at hand: in the place of the field
// that is there, else behind all others, as are more fields.
func (p *planner) label(q *mime.Part, encoding, more string) error {
	found, end := 0, 0
	for f := range mime.Header(p.head).All() {
		end = f.Offset + len(f.Raw)
		if !named(f, encodingField) {
			continue
		}
		text := ""
		switch found++; {
		case found == 1:
			text = string(f.Name) + ": " + encoding
			if bytes.HasSuffix(f.Raw, []byte("\n")) { // else a delimiter follows at once
				text += "\r\n"
			}
		case !strings.EqualFold(f.Text(), q.Encoding):
			return UnknownEncoding // readers differ in which one they heed
		}
		p.replace(q, f.Offset, end, text)
	}
	if found == 0 {
		more += encodingField + ": " + encoding + "\r\n"
	}
	if more != "" {
		p.replace(q, end, end, more)
	}
	return nil
}

// replace puts text in the place of octets of the header at hand.
func (p *planner) replace(q *mime.Part, from, to int, text string) {
	p.plan.add(edit{off: q.Offset + int64(from), end: q.Offset + int64(to), text: text}, int64(len(text)))
}

func named(f mime.Field, name string) bool { return strings.EqualFold(string(f.Name), name) }
