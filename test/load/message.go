package load

import (
	"bytes"
	"strconv"
	"strings"
)

const (
	idDigits   = 10
	idDomain   = "load.invalid"
	bodyLine   = "The quick post-horse carries this line of plain text from one end to the other.\r\n"
	endOfData  = ".\r\n"
	minMessage = 512 // bytes; room for the headers
)

// template is a whole message with its end-of-data mark, of which only the digits
// of the Message-ID change.
type template struct {
	bytes []byte
	digit int // offset of the digits
}

// newTemplate builds a message of exactly size bytes (512 at least), the mark not
// counted.
func newTemplate(run, from string, size int) template {
	var b bytes.Buffer
	b.WriteString("From: <" + from + ">\r\nTo: undisclosed-recipients:;\r\n" +
		"Subject: load\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <" + run + ".")
	digit := b.Len()
	b.WriteString(strings.Repeat("0", idDigits) + "@" + idDomain + ">\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n")
	size = max(size, minMessage)
	for size-b.Len() >= 2*len(bodyLine) {
		b.WriteString(bodyLine)
	}
	// What is left is one line or two short ones, never a bare CR or LF.
	if rest := size - b.Len(); rest > len(bodyLine) {
		half := rest / 2
		b.WriteString(strings.Repeat("x", half-2) + "\r\n")
	}
	b.WriteString(strings.Repeat("y", size-b.Len()-2) + "\r\n" + endOfData)
	return template{bytes: b.Bytes(), digit: digit}
}

// clone gives a connection its own copy to patch.
func (t template) clone() template {
	return template{bytes: bytes.Clone(t.bytes), digit: t.digit}
}

// patch writes the index into the Message-ID.
func (t template) patch(index int) {
	for i := t.digit + idDigits - 1; i >= t.digit; i-- {
		t.bytes[i] = byte('0' + index%10)
		index /= 10
	}
}

// messageID is what patch(index) leaves in the header, with its angle brackets.
func messageID(run string, index int) string {
	digits := strconv.Itoa(index)
	return "<" + run + "." + strings.Repeat("0", max(0, idDigits-len(digits))) + digits + "@" + idDomain + ">"
}
