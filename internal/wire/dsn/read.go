package dsn

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Form is how a report that came in is written.
type Form string

// The forms that are understood. All but the first two are known by what the
// program that writes them always begins with.
const (
	Unknown  Form = ""
	Fields   Form = "delivery-status" // RFC 3464, RFC 6533
	Qmail    Form = "qmail"           // QSBMF
	Exim     Form = "exim"
	Postfix  Form = "postfix" // its text, where the fields are lost
	Sendmail Form = "sendmail"
	Exchange Form = "exchange"
	// The mail systems of providers in Japan.
	InterMail Form = "intermail" // au's, and that of others elsewhere
	KDDI      Form = "kddi"      // au one net
	Biglobe   Form = "biglobe"
)

// Notice is a report as it was read. What it says is the claim of whoever sent it.
type Notice struct {
	Form       Form
	Hostname   string // the reporting MTA
	EnvelopeID string // ENVID, empty = not given
	Arrival    time.Time
	Recipients []Recipient
	More       int         // recipients beyond those that are kept
	Reply      string      // the first reply in the words of a report that names nobody
	Original   mime.Header // of the message that it tells of, as much as came back
}

const (
	// maxRead is how much of a report is looked at, in octets.
	maxRead = 4 << 20
	// maxFields bounds the part with the fields.
	maxFields = 1 << 20
	// maxKept bounds the recipients that are kept.
	maxKept = 1000
	// maxText bounds the words for people.
	maxText = 64 << 10
	// maxHeader bounds the header that came back.
	maxHeader = 64 << 10
	// maxValue bounds a field's value.
	maxValue = 2000
)

// Read takes a message apart that may be a report. One that is none, or that
// nobody understands, has the Form Unknown. The only errors are those of r, which
// has size octets.
func Read(r io.ReaderAt, size int64) (*Notice, error) {
	d, err := Open(r, size)
	if err != nil {
		return nil, err
	}
	n := &Notice{}
	if n.Original, err = d.Returned(); err != nil {
		return nil, err
	}
	for _, kind := range []string{"delivery-status", "global-delivery-status"} {
		fields, err := d.Body("message", kind, maxFields)
		if err != nil {
			return nil, err
		}
		n.readFields(fields)
	}
	if n.Form != Unknown {
		return n, nil
	}
	return n, n.readText(d)
}

// Document is a message whose parts are read by their type: a report of any kind
// (RFC 6522). Parts of the message that came back are not among them.
type Document struct {
	in    *io.SectionReader
	root  *mime.Part
	parts []*mime.Part // without the root of a multipart
}

// Open finds the parts of a message of size octets.
func Open(r io.ReaderAt, size int64) (*Document, error) {
	d := &Document{in: io.NewSectionReader(r, 0, min(size, maxRead))}
	var err error
	d.root, err = mime.Parse(d.in, mime.Limits{Depth: 10, Parts: 50, HeaderBytes: maxHeader, TotalBytes: 4 * maxHeader, Addresses: 10, Params: 200})
	if err != nil {
		return nil, err
	}
	d.walk(d.root)
	return d, nil
}

func (d *Document) walk(p *mime.Part) {
	if !p.IsMultipart() {
		d.parts = append(d.parts, p)
		return
	}
	for i := range p.Children {
		d.walk(&p.Children[i])
	}
}

// Header is the message's own header, as far as it is looked at.
func (d *Document) Header() (mime.Header, error) {
	b := make([]byte, min(d.root.HeaderSize, maxHeader))
	if _, err := io.ReadFull(io.NewSectionReader(d.in, d.root.Offset, int64(len(b))), b); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return b, nil
}

// isReport tells whether the message says that it is a report (RFC 6522).
func (d *Document) isReport() bool {
	return d.root.Type == "multipart" && d.root.Subtype == "report"
}

// Body is the decoded body of the first part of a type, up to limit octets; nil if
// there is none.
func (d *Document) Body(kind, subtype string, limit int64) ([]byte, error) {
	for _, p := range d.parts {
		if p.Type == kind && p.Subtype == subtype {
			return d.body(p, limit, mime.TransferReader)
		}
	}
	return nil, nil
}

func (d *Document) body(p *mime.Part, limit int64, decode func(io.Reader, string) io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(decode(io.NewSectionReader(d.in, p.BodyOffset(), p.BodySize), p.Encoding), limit))
	if err != nil {
		return nil, fmt.Errorf("read part: %w", err)
	}
	return b, nil
}

// Returned is the header of the message that came back in a part of its own
// (RFC 6522 §3); nil if none did.
func (d *Document) Returned() (mime.Header, error) {
	for _, p := range d.parts {
		if p == d.root || !returns(p) {
			continue
		}
		b, err := d.body(p, maxHeader, mime.TransferReader)
		return header(b), err
	}
	return nil, nil
}

// returns tells whether a part holds a message, or its header.
func returns(p *mime.Part) bool {
	switch p.Type + "/" + p.Subtype {
	case "message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
		return true
	}
	return false
}

// header cuts off what stands behind a header.
func header(b []byte) mime.Header {
	end := 0
	for f := range mime.Header(b).All() {
		end = f.Offset + len(f.Raw)
	}
	return b[:end:end]
}

// text is what people read: the first plain text, with LF line ends.
func (d *Document) text() (string, error) {
	for _, p := range d.parts {
		if p.Type != "text" || p.Subtype != "plain" {
			continue
		}
		b, err := d.body(p, maxText, func(r io.Reader, encoding string) io.Reader {
			charset, _ := mime.DecodeParam(p.Params, "charset")
			return mime.TextReader(r, encoding, charset)
		})
		return strings.ToValidUTF8(strings.ReplaceAll(string(b), "\r\n", "\n"), "?"), err
	}
	return "", nil
}
