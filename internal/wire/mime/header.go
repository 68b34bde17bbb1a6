package mime

import (
	"bytes"
	"iter"
	"slices"
	"strings"
)

// Header is the raw header of a message or a part, with or without the blank
// line at its end.
type Header []byte

// Field is one header field in place. A line that is no field (no colon, or
// an impossible name) is a Field without Name, so that the fields of a header
// always add up to its bytes.
type Field struct {
	Name   []byte // as written, without the colon; empty for junk
	Raw    []byte // the whole field with its folding and its last line end
	Offset int    // of Raw in the header
	colon  int    // index of the colon in Raw, -1 for junk
}

// Value is the raw value: all that stands behind the colon, folding kept.
func (f Field) Value() []byte { return f.Raw[f.colon+1:] }

// Is tells whether the field has a name, in any case.
func (f Field) Is(name string) bool { return equalFold(f.Name, name) }

// Seems tells whether some reader could take it for a field of a name, which has it, or
// has it but for white space, line ends, control characters and all beyond ASCII.
func (f Field) Seems(name string) bool {
	n := 0
	for _, c := range f.Raw {
		switch {
		case c == ':':
			return n == len(name)
		case c <= ' ' || c >= 0x7f:
			continue
		case n == len(name) || lower(c) != lower(name[n]):
			return false
		}
		n++
	}
	return false
}

// Text is the unfolded value without white space around it.
func (f Field) Text() string { return Unfold(f.Value()) }

// All walks the fields up to the blank line.
func (h Header) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for off := 0; off < len(h); {
			n := fieldSize(h[off:])
			if n == 0 {
				return
			}
			if !yield(newField(h[off:off+n], off)) {
				return
			}
			off += n
		}
	}
}

// Get is the Text of the first field of a name, in any case.
func (h Header) Get(name string) (string, bool) {
	for f := range h.All() {
		if f.Is(name) {
			return f.Text(), true
		}
	}
	return "", false
}

// Fields returns the exact bytes of the fields whose name is in names, or with
// not of all others, and the blank line if the header has one.
// RFC 3501 §6.4.5
func Fields(raw []byte, names []string, not bool) []byte {
	out := make([]byte, 0, min(len(raw), 1024))
	end := 0
	for f := range Header(raw).All() {
		listed := slices.ContainsFunc(names, f.Is)
		if listed != not {
			out = append(out, f.Raw...)
		}
		end = f.Offset + len(f.Raw)
	}
	return append(out, raw[end:end+blankSize(raw[end:])]...)
}

// Unfold removes line ends and NUL from a raw value and white space around it.
// RFC 5322 §2.2.3
func Unfold(raw []byte) string {
	raw = bytes.Trim(raw, " \t\r\n\x00")
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 && bytes.IndexByte(raw, 0) < 0 {
		return string(raw)
	}
	var b strings.Builder
	b.Grow(len(raw))
	for _, c := range raw {
		if c != '\r' && c != '\n' && c != 0 {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// fieldSize is the size of the field at the beginning of b, 0 for the blank
// line.
func fieldSize(b []byte) int {
	if blankSize(b) > 0 {
		return 0
	}
	n := 0
	for {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return len(b)
		}
		n += i + 1
		if n == len(b) || b[n] != ' ' && b[n] != '\t' {
			return n
		}
	}
}

// blankSize is the size of the blank line at the beginning of b, 0 for none.
func blankSize(b []byte) int {
	switch {
	case len(b) > 0 && b[0] == '\n':
		return 1
	case len(b) > 1 && b[0] == '\r' && b[1] == '\n':
		return 2
	}
	return 0
}

func newField(raw []byte, off int) Field {
	f := Field{Raw: raw, Offset: off, colon: -1}
	i := bytes.IndexByte(raw, ':')
	if i < 0 {
		return f
	}
	// RFC 5322 §4.5: white space before the colon is obsolete, not wrong.
	name := bytes.TrimRight(raw[:i], " \t")
	for _, c := range name {
		if !isNameByte(c) {
			return f
		}
	}
	if len(name) > 0 {
		f.Name, f.colon = name, i
	}
	return f
}

// isNameByte tells what may stand in a field name. Bytes above 127 are wrong,
// but no reason to lose the field.
// RFC 5322 §3.6.8
func isNameByte(c byte) bool { return c > ' ' && c != ':' && c != 0x7f }

func equalFold(name []byte, want string) bool {
	if len(name) != len(want) {
		return false
	}
	for i, c := range name {
		if lower(c) != lower(want[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
