package imapd

import (
	"errors"
	"io"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// maxHeader is how much of a header is searched for fields, in octets. More
// than that is no header that anybody wrote.
const maxHeader = 1 << 20

// extent is a piece of a message.
type extent struct{ off, size int64 }

// cut is what a partial leaves of a piece.
// RFC 3501 §6.4.5
func (e extent) cut(p *imap.Partial) extent {
	if p == nil {
		return e
	}
	skip := min(p.Offset, e.size)
	return extent{off: e.off + skip, size: min(p.Count, e.size-skip)}
}

// content is the section that an item asks for; false if it asks for none.
func content(item imap.FetchItem) (imap.Section, bool) {
	switch item.Kind {
	case imap.FetchSection:
		return item.Section, true
	case imap.FetchRFC822:
		return imap.Section{}, true
	case imap.FetchRFC822Header:
		return imap.Section{Specifier: imap.SectionHeader}, true
	case imap.FetchRFC822Text:
		return imap.Section{Specifier: imap.SectionText}, true
	}
	return imap.Section{}, false
}

// locate finds a section; false if the message has no such part. Only part
// numbers need the structure. The fields of a header are to be picked from the
// piece that it gives for them.
// RFC 3501 §6.4.5
func locate(sec imap.Section, row *mailbox.Row) (extent, bool) {
	if len(sec.Path) == 0 {
		switch sec.Specifier {
		case imap.SectionAll:
			return extent{size: row.Size}, true
		case imap.SectionText:
			return extent{off: row.Header, size: row.Size - row.Header}, true
		}
		return extent{size: row.Header}, true
	}
	part, found := row.Structure.Section(sec.Path)
	if !found {
		return extent{}, false
	}
	switch sec.Specifier {
	case imap.SectionAll:
		return extent{off: part.BodyOffset(), size: part.BodySize}, true
	case imap.SectionMIME:
		return extent{off: part.Offset, size: part.HeaderSize}, true
	}
	message := part.Embedded()
	if message == nil {
		return extent{}, false
	}
	if sec.Specifier == imap.SectionText {
		return extent{off: message.BodyOffset(), size: message.BodySize}, true
	}
	return extent{off: message.Offset, size: message.HeaderSize}, true
}

// fields picks the named fields, or all others, from the header at e.
func fields(r io.ReaderAt, e extent, sec imap.Section) ([]byte, error) {
	head := make([]byte, min(e.size, maxHeader))
	if err := readFull(r, head, e.off); err != nil {
		return nil, err
	}
	return mime.Fields(head, sec.Fields, sec.Specifier == imap.SectionFieldsNot), nil
}

// readFull fills p, or says why it cannot.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}
