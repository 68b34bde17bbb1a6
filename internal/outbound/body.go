package outbound

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// chunk is how much of a message is read and written at once.
const chunk = 64 << 10

// chunks lends buffers for messages on their way.
type chunks struct{ pool sync.Pool }

func (p *chunks) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, chunk)
}

func (p *chunks) put(b []byte) {
	b = b[:cap(b)]
	p.pool.Put(&b)
}

// octets says whether a message has octets beyond ASCII.
type octets struct {
	seen         bool // header was looked at
	whole        bool // body as well
	header, body bool
}

// look reads the header, or all of the message, once. A read error shows up
// again where the message is sent.
func (t *transaction) look(whole bool) octets {
	if t.octets.whole || t.octets.seen && !whole || !whole && !t.m.UTF8 {
		return t.octets
	}
	t.octets = octets{seen: true, whole: whole}
	buf := t.w.o.chunks.get()
	defer t.w.o.chunks.put(buf)
	in := t.content()
	inBody := false
	var tail []byte // the last octets of the part before: a blank line may span two
	for {
		n, err := in.Read(buf)
		part := buf[:n]
		if !inBody {
			joined := slices.Concat(tail, part)
			if end := headerEnd(joined, tail == nil); end >= 0 {
				inBody = true
				head := max(0, end-len(tail))
				t.octets.header = t.octets.header || high(part[:head])
				part = part[head:]
			} else {
				t.octets.header = t.octets.header || high(part)
				tail = slices.Clone(joined[max(0, len(joined)-3):])
			}
		}
		if inBody {
			t.octets.body = t.octets.body || high(part)
		}
		if err != nil || inBody && !whole {
			return t.octets
		}
	}
}

// headerEnd is where the blank line ends, or -1. At the very start of a message
// a blank line has nothing before it.
func headerEnd(b []byte, first bool) int {
	if first && bytes.HasPrefix(b, []byte("\r\n")) {
		return 0
	}
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		return i + 2
	}
	return -1
}

func high(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// transmit sends prefix and body with dots stuffed and the final dot behind
// them. An error says that the final dot was not sent.
func (t *transaction) transmit(c *client) error {
	in, out := t.w.o.chunks.get(), t.w.o.chunks.get()
	defer t.w.o.chunks.put(in)
	defer t.w.o.chunks.put(out)
	d := &stuffer{buf: out[:0], start: true, flush: func(b []byte) error {
		if err := c.within(c.times.DataBlock); err != nil {
			return err
		}
		_, err := c.conn.Write(b)
		return err
	}}
	if t.plan != nil {
		if _, err := t.plan.WriteTo(d); err != nil {
			return err
		}
		return d.finish()
	}
	if err := d.write(t.m.Prefix); err != nil {
		return err
	}
	body := io.NewSectionReader(t.body, 0, t.body.Size())
	for {
		n, err := body.Read(in)
		if werr := d.write(in[:n]); werr != nil {
			return werr
		}
		if errors.Is(err, io.EOF) {
			return d.finish()
		}
		if err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
	}
}

// stuffer writes a message as it goes over the wire: lines end in CRLF and in
// nothing else, a dot at the start of a line is doubled (RFC 5321 §4.5.2).
type stuffer struct {
	buf   []byte
	flush func([]byte) error
	start bool // a line begins here
	cr    bool // a CR is held back: what follows decides on it
}

// Write implements io.Writer.
func (d *stuffer) Write(p []byte) (int, error) { return len(p), d.write(p) }

func (d *stuffer) write(p []byte) error {
	for len(p) > 0 {
		if d.cr {
			// A CR without LF is taken for a line end, as nothing else may
			// leave us (RFC 5321 §2.3.8).
			d.cr = false
			if err := d.put("\r\n"); err != nil {
				return err
			}
			d.start = true
			if p[0] == '\n' {
				p = p[1:]
			}
			continue
		}
		n, ends := lineEnd(p)
		if text := p[:n]; len(text) > 0 {
			if d.start && text[0] == '.' {
				if err := d.put("."); err != nil {
					return err
				}
			}
			d.start = false
			if err := d.text(text); err != nil {
				return err
			}
		}
		if !ends {
			p = p[n:]
			continue
		}
		if p[n] == '\r' {
			d.cr = true
		} else {
			if err := d.put("\r\n"); err != nil {
				return err
			}
			d.start = true
		}
		p = p[n+1:]
	}
	return nil
}

// window is how far lineEnd looks, so that a message of CRs takes no time that
// grows with the square of its size.
const window = 1 << 10

// lineEnd is where the text at the start of p ends: before a CR or LF, or at
// the end of what was looked at.
func lineEnd(p []byte) (n int, ends bool) {
	p = p[:min(len(p), window)]
	n = bytes.IndexByte(p, '\n')
	if n < 0 {
		n = len(p)
	}
	if r := bytes.IndexByte(p[:n], '\r'); r >= 0 {
		n = r
	}
	return n, n < len(p)
}

func (d *stuffer) put(s string) error {
	if len(d.buf)+len(s) > cap(d.buf) {
		if err := d.out(); err != nil {
			return err
		}
	}
	d.buf = append(d.buf, s...)
	return nil
}

func (d *stuffer) text(p []byte) error {
	for len(p) > 0 {
		n := copy(d.buf[len(d.buf):cap(d.buf)], p)
		d.buf = d.buf[:len(d.buf)+n]
		p = p[n:]
		if len(p) > 0 {
			if err := d.out(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *stuffer) out() error {
	err := d.flush(d.buf)
	d.buf = d.buf[:0]
	return err
}

// finish ends the message.
func (d *stuffer) finish() error {
	if d.cr || !d.start {
		if err := d.put("\r\n"); err != nil {
			return err
		}
	}
	if err := d.put(".\r\n"); err != nil {
		return err
	}
	return d.out()
}
