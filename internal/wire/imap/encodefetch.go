package imap

import (
	"io"
	"time"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// BeginFetch opens the FETCH response for a sequence number. Items follow by
// the other methods with Fetch in their names, then EndFetch.
//
// RFC 3501 §7.4.2
func (e *Encoder) BeginFetch(seq uint32) {
	e.items = 0
	e.buf = append(e.buf, '*', ' ')
	e.number(uint64(seq))
	e.buf = append(e.buf, " FETCH ("...)
}

// EndFetch closes the FETCH response.
func (e *Encoder) EndFetch() {
	e.buf = append(e.buf, ')')
	e.endLine()
}

func (e *Encoder) fetchItem() {
	if e.items > 0 {
		e.buf = append(e.buf, ' ')
	}
	e.items++
}

// FetchFlags writes FLAGS.
func (e *Encoder) FetchFlags(flags []Flag) {
	e.fetchItem()
	e.buf = append(e.buf, "FLAGS "...)
	e.buf = AppendFlags(e.buf, flags)
}

// FetchUID writes UID.
func (e *Encoder) FetchUID(uid uint32) {
	e.fetchItem()
	e.buf = append(e.buf, "UID "...)
	e.number(uint64(uid))
}

// FetchInternalDate writes INTERNALDATE in the zone of t.
func (e *Encoder) FetchInternalDate(t time.Time) {
	e.fetchItem()
	e.buf = append(e.buf, "INTERNALDATE "...)
	e.buf = AppendDateTime(e.buf, t)
}

// FetchSize writes RFC822.SIZE in octets.
func (e *Encoder) FetchSize(size int64) {
	e.fetchItem()
	e.buf = append(e.buf, "RFC822.SIZE "...)
	e.number(uint64(max(size, 0)))
}

// FetchEnvelope writes ENVELOPE.
func (e *Encoder) FetchEnvelope(env *mime.Envelope) {
	e.fetchItem()
	e.buf = append(e.buf, "ENVELOPE "...)
	e.buf = AppendEnvelope(e.buf, env)
}

// FetchBody writes BODY, the structure without extension data.
func (e *Encoder) FetchBody(message *mime.Part) {
	e.fetchItem()
	e.buf = append(e.buf, "BODY "...)
	e.buf = AppendBody(e.buf, message)
}

// FetchBodyStructure writes BODYSTRUCTURE.
func (e *Encoder) FetchBodyStructure(message *mime.Part) {
	e.fetchItem()
	e.buf = append(e.buf, "BODYSTRUCTURE "...)
	e.buf = AppendBodyStructure(e.buf, message)
}

// FetchRaw writes an item whose value is at hand in the form of the wire, as
// AppendEnvelope and its like made it.
func (e *Encoder) FetchRaw(item FetchItem, value []byte) {
	e.fetchItem()
	e.buf = item.AppendName(e.buf)
	e.buf = append(e.buf, ' ')
	e.buf = append(e.buf, value...)
	e.gathered()
}

// FetchText writes a text of a message, always as a literal so that every
// octet of it arrives.
func (e *Encoder) FetchText(item FetchItem, text []byte) {
	e.fetchItem()
	e.buf = item.AppendName(e.buf)
	e.buf = append(e.buf, ' ')
	e.buf = appendLiteralSize(e.buf, int64(len(text)))
	e.octets(text)
}

// FetchNil writes that a message has no such text.
func (e *Encoder) FetchNil(item FetchItem) {
	e.fetchItem()
	e.buf = item.AppendName(e.buf)
	e.buf = append(e.buf, " NIL"...)
}

// FetchStream writes a text of size octets that r yields. An error, be it of r
// or of the Writer, is final: the peer can no longer follow.
func (e *Encoder) FetchStream(item FetchItem, size int64, r io.Reader) error {
	e.fetchItem()
	e.buf = item.AppendName(e.buf)
	e.buf = append(e.buf, ' ')
	return e.stream(size, r)
}
