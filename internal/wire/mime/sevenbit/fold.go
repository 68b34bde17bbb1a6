package sevenbit

import (
	"bytes"
	"io"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Fold finds out where the header lines over 998 octets of the message that was
// inspected are to be folded: a CRLF is put before white space that is there, and
// nothing else changes (RFC 5322 §2.2.3). It is for a message that nobody has yet. The
// error is BadHeader if a line has no such place, or is one that a signature covers.
func (r *Report) Fold(src io.ReaderAt) (*Plan, error) {
	f := &folder{plan: &Plan{src: src, size: r.size}}
	if err := f.part(r.root, r.DKIM); err != nil {
		return nil, err
	}
	return f.plan, nil
}

// folder goes through the headers of a message, from the first to the last.
type folder struct {
	plan    *Plan
	headers int64 // octets of all of them so far
}

func (f *folder) part(q *mime.Part, sealed bool) error {
	f.headers += q.HeaderSize
	if q.HeaderSize > maxHeader || f.headers > maxHeaders {
		return TooComplex
	}
	head := make([]byte, q.HeaderSize)
	if _, err := io.ReadFull(span(f.plan.src, q.Offset, q.BodyOffset()), head); err != nil {
		return err
	}
	for field := range mime.Header(head).All() {
		if err := f.field(field, q.Offset+int64(field.Offset), sealed); err != nil {
			return err
		}
	}
	if isLeaf(q) {
		return nil
	}
	for i := range q.Children {
		if err := f.part(&q.Children[i], sealed || isSealed(q)); err != nil {
			return err
		}
	}
	return nil
}

// field folds the lines of a field that stands at off.
func (f *folder) field(field mime.Field, off int64, sealed bool) error {
	first := len(field.Raw) - len(field.Value())
	for line := range bytes.Lines(field.Raw) {
		text := bytes.TrimRight(line, "\r\n")
		for at := 0; len(text)-at > maxLine; {
			n := foldAt(text[at:], first)
			if sealed || len(field.Name) == 0 || n == 0 {
				return BadHeader
			}
			at, first = at+n, 0
			f.plan.add(edit{off: off + int64(at), end: off + int64(at), text: "\r\n"}, 2)
		}
		off, first = off+int64(len(line)), 0
	}
	return nil
}

// foldAt is the last place before white space where a line may end, 0 for none. Before
// from stands the name of the field, and no line has white space alone (RFC 5322 §3.2.2).
func foldAt(line []byte, from int) int {
	const space = " \t"
	end := len(bytes.TrimRight(line, space))
	begin := max(from, len(line)-len(bytes.TrimLeft(line, space))+1)
	for n := min(maxLine, end-1); n >= begin; n-- {
		if line[n] == ' ' || line[n] == '\t' {
			return n
		}
	}
	return 0
}
