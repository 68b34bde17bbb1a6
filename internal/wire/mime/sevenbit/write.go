package sevenbit

import (
	"bufio"
	"io"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Convert writes a message of a known size as a 7-bit message. The error is an
// Obstacle if that cannot be done; nothing was written then.
func Convert(dst io.Writer, src io.ReaderAt, size int64) error {
	report, err := Inspect(src, size)
	if err != nil {
		return err
	}
	plan, err := report.Plan(src)
	if err != nil {
		return err
	}
	_, err = plan.WriteTo(dst)
	return err
}

// edit is a change of one piece of a message: text in its place, or its octets
// in another transfer encoding.
type edit struct {
	off, end int64
	text     string
	from     string // the encoding that the octets have; "" = none
	to       string // the encoding that they get; "" = text takes their place
	last     bool   // the message ends here
}

// WriteTo writes the message as it is to be. It can be called again, and by
// several at once if the source can be.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	out := bufio.NewWriterSize(count, chunk)
	err := p.write(out)
	if err == nil {
		err = out.Flush()
	}
	return count.n, err
}

func (p *Plan) write(out *bufio.Writer) error {
	at := int64(0)
	for _, e := range p.edits {
		if _, err := io.Copy(out, span(p.src, at, e.off)); err != nil {
			return err
		}
		if err := p.apply(out, e); err != nil {
			return err
		}
		at = e.end
	}
	_, err := io.Copy(out, span(p.src, at, p.size))
	return err
}

func (p *Plan) apply(out *bufio.Writer, e edit) error {
	in := mime.TransferReader(span(p.src, e.off, e.end), e.from)
	switch e.to {
	case base64Name:
		return writeBase64(out, in, e.last)
	case quotedName:
		return writeQuoted(out, bufio.NewReaderSize(in, chunk))
	}
	_, err := out.WriteString(e.text)
	return err
}

// try finds out how large an edit makes its piece.
func (p *Plan) try(e edit) (int64, error) {
	count := &counter{}
	out := bufio.NewWriterSize(count, chunk)
	if err := p.apply(out, e); err != nil {
		return 0, err
	}
	err := out.Flush()
	return count.n, err
}
