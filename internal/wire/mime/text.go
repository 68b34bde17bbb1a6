package mime

import (
	"bufio"
	"io"
	"strings"

	"golang.org/x/text/transform"
)

// TextReader decodes a body: its transfer encoding, then its charset to
// UTF-8. Bytes of an unknown charset or encoding come as they are, so that an
// ASCII word in them is found. It streams; the only errors are those of r.
func TextReader(r io.Reader, transferEncoding, charset string) io.Reader {
	r = TransferReader(r, transferEncoding)
	if enc, _ := charsetEncoding(charset); enc != nil {
		return transform.NewReader(r, enc.NewDecoder())
	}
	return r
}

// Text decodes the raw bytes of this part's body, which r reads.
func (p *Part) Text(r io.Reader) io.Reader {
	charset, _ := DecodeParam(p.Params, "charset")
	return TextReader(r, p.Encoding, charset)
}

// TransferReader decodes base64 and quoted-printable bodies and skips what is
// wrong in them. Any other encoding is read as it is.
// RFC 2045 §6
func TransferReader(r io.Reader, transferEncoding string) io.Reader {
	switch strings.ToLower(strings.TrimSpace(transferEncoding)) {
	case "base64":
		return &base64Reader{r: r}
	case "quoted-printable":
		return &quotedReader{r: bufio.NewReaderSize(r, decodeSize)}
	}
	return r
}

const decodeSize = 4 << 10

// quantum collects four base64 digits.
type quantum struct {
	bits uint32
	n    int
}

// add takes one character and appends the bytes that are complete. Padding
// ends a quantum, so encoded pieces may follow one another; junk is skipped.
// RFC 2045 §6.8
func (q *quantum) add(dst []byte, c byte) []byte {
	var v byte
	switch {
	case 'A' <= c && c <= 'Z':
		v = c - 'A'
	case 'a' <= c && c <= 'z':
		v = c - 'a' + 26
	case '0' <= c && c <= '9':
		v = c - '0' + 52
	case c == '+' || c == '-': // '-' and '_' are the URL alphabet's
		v = 62
	case c == '/' || c == '_':
		v = 63
	case c == '=':
		return q.end(dst)
	default:
		return dst
	}
	q.bits = q.bits<<6 | uint32(v)
	if q.n++; q.n < 4 {
		return dst
	}
	dst = append(dst, byte(q.bits>>16), byte(q.bits>>8), byte(q.bits))
	*q = quantum{}
	return dst
}

// end appends the whole bytes of an incomplete quantum.
func (q *quantum) end(dst []byte) []byte {
	switch q.n {
	case 2:
		dst = append(dst, byte(q.bits>>4))
	case 3:
		dst = append(dst, byte(q.bits>>10), byte(q.bits>>2))
	}
	*q = quantum{}
	return dst
}

type base64Reader struct {
	r    io.Reader
	in   []byte
	out  []byte // decoded, not yet read
	next int
	q    quantum
	err  error
}

func (b *base64Reader) Read(dst []byte) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	for b.next == len(b.out) {
		if b.err != nil {
			return 0, b.err
		}
		if b.in == nil {
			b.in = make([]byte, decodeSize)
			b.out = make([]byte, 0, decodeSize)
		}
		var n int
		n, b.err = b.r.Read(b.in)
		b.out, b.next = b.out[:0], 0
		for _, c := range b.in[:n] {
			b.out = b.q.add(b.out, c)
		}
		if b.err != nil {
			b.out = b.q.end(b.out)
		}
	}
	n := copy(dst, b.out[b.next:])
	b.next += n
	return n, nil
}

type quotedReader struct {
	r *bufio.Reader
}

// maxSoftBreak bounds the white space between "=" and the line end.
const maxSoftBreak = 128

func (q *quotedReader) Read(dst []byte) (int, error) {
	n := 0
	for n < len(dst) {
		// Never wait for more while there is something to give.
		if n > 0 && q.r.Buffered() == 0 {
			break
		}
		c, err := q.r.ReadByte()
		if err != nil {
			if n > 0 {
				break // the reader repeats its error
			}
			return 0, err
		}
		if c == '=' {
			var ok bool
			if c, ok = q.escape(); !ok {
				continue
			}
		}
		dst[n] = c
		n++
	}
	return n, nil
}

// escape reads what follows "=": two hex digits, or a soft line break, which
// is nothing. Anything else leaves the "=" as it is.
// RFC 2045 §6.7
func (q *quotedReader) escape() (c byte, ok bool) {
	next, _ := q.r.Peek(2) // fewer at the end; its error comes again
	if len(next) == 0 {
		return 0, false
	}
	if len(next) == 2 {
		if c, ok := hexByte(next[0], next[1]); ok {
			_, _ = q.r.Discard(2) // just peeked
			return c, true
		}
	}
	for size := 1; size <= maxSoftBreak; size++ {
		next, _ = q.r.Peek(size)
		if len(next) < size {
			break
		}
		switch next[size-1] {
		case '\n':
			_, _ = q.r.Discard(size) // just peeked
			return 0, false
		case ' ', '\t', '\r':
		default:
			return '=', true
		}
	}
	return '=', true
}
