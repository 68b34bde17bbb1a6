package sevenbit

import (
	"io"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// chunk is how much of a message is read at once.
const chunk = 32 << 10

// What is looked at of headers; a message with more cannot be converted.
const (
	maxHeader  = 256 << 10 // of one part
	maxHeaders = 1 << 20   // of all parts
)

// Report is what a message has.
type Report struct {
	Header Octets // of the message itself; those of its parts are in its body
	Body   Octets

	DKIM      bool // a DKIM-Signature field
	Signed    bool // a multipart/signed part
	Encrypted bool // a multipart/encrypted part
	SMIME     bool // an application/pkcs7-mime part
	Message   bool // a message/* part

	root *mime.Part
	size int64
}

// Inspect reads a message of a known size. Its only error is that of src.
func Inspect(src io.ReaderAt, size int64) (*Report, error) {
	p := mime.NewParser(mime.Limits{HeaderBytes: maxHeader, TotalBytes: maxHeaders})
	s := &splitter{scan: mime.NewHeaderScanner(0)}
	if _, err := io.CopyBuffer(io.MultiWriter(p, s), span(src, 0, size), make([]byte, chunk)); err != nil {
		return nil, err
	}
	r := &Report{Header: s.head.end(), Body: s.body.end(), root: p.Finish(), size: size}
	head := make([]byte, min(s.scan.Size(), maxHeader))
	if _, err := io.ReadFull(span(src, 0, int64(len(head))), head); err != nil {
		return nil, err
	}
	_, r.DKIM = mime.Header(head).Get("DKIM-Signature")
	r.note(r.root)
	return r, nil
}

// note takes down the types of a part and of all that is in it.
func (r *Report) note(q *mime.Part) {
	switch q.Type {
	case "multipart":
		r.Signed = r.Signed || q.Subtype == "signed"
		r.Encrypted = r.Encrypted || q.Subtype == "encrypted"
	case "application":
		// RFC 8551 §3.2.1 knows the name of before there was a standard.
		r.SMIME = r.SMIME || q.Subtype == "pkcs7-mime" || q.Subtype == "x-pkcs7-mime"
	case "message":
		r.Message = true
	}
	for i := range q.Children {
		r.note(&q.Children[i])
	}
}

// SevenBit tells whether the message is fit for any host as it is.
func (r *Report) SevenBit() bool { return r.Header.SevenBit() && r.Body.SevenBit() }

// Sealed tells whether the message carries a signature or an encryption that
// its recipient would miss if the message were changed on its way.
func (r *Report) Sealed() bool { return r.DKIM || r.Signed || r.Encrypted || r.SMIME }

// splitter measures the header and the body of a message that passes by.
type splitter struct {
	scan       *mime.HeaderScanner
	head, body meter
}

func (s *splitter) Write(p []byte) (int, error) {
	before := s.scan.Size()
	s.scan.Feed(p)
	n := int(s.scan.Size() - before)
	_, _ = s.head.Write(p[:n]) // never fails
	_, _ = s.body.Write(p[n:])
	return len(p), nil
}
