package outbound

import "bytes"

// stuffer writes a message as it goes over the wire: lines end in CRLF and in
// nothing else; with dots, one at the start of a line is doubled and one alone ends
// the message (RFC 5321 §4.5.2).
type stuffer struct {
	buf   []byte
	flush func([]byte) error
	dots  bool
	start bool // a line begins here
	cr    bool // a CR is held back: what follows decides on it
	done  bool // what is in the buffer is the end
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
			if d.start && d.dots && text[0] == '.' {
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
	if d.dots {
		if err := d.put(".\r\n"); err != nil {
			return err
		}
	}
	d.done = true
	return d.out()
}
