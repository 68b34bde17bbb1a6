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
// them, or, to a host that takes them, as one chunk (RFC 3030 §2). An error says
// that the message was not sent whole, an *unreadError that the fault is ours, errEarly
// that the host did not wait for its beginning, errCutShort for its end. What follows goes
// out with its end.
func (t *transaction) transmit(c *client, follows string) error {
	var broken error
	early := errEarly
	err := t.pass(c, func(d *stuffer, b []byte) error {
		if c.spoke() {
			broken = early
			return broken
		}
		early = errCutShort
		if d.done {
			b = append(b, follows...)
		}
		if broken = c.within(c.times.DataBlock); broken == nil {
			_, broken = c.conn.Write(b)
		}
		return broken
	})
	if err != nil && broken == nil {
		return &unreadError{err}
	}
	return err
}

// pass writes the message as it goes over the wire.
func (t *transaction) pass(c *client, write func(*stuffer, []byte) error) error {
	out := t.w.o.chunks.get()
	defer t.w.o.chunks.put(out)
	if !c.ext.chunking {
		d := &stuffer{buf: out[:0], start: true, dots: true}
		d.flush = func(b []byte) error { return write(d, b) }
		return t.feed(d)
	}
	d := &stuffer{buf: out[:announced], start: true}
	size, sent := int64(-1), int64(0)
	d.flush = func(b []byte) error {
		if size < 0 {
			var err error
			if size, err = t.measure(d, int64(len(b)-announced)); err != nil {
				return err
			}
			line := fmt.Sprintf("BDAT %d LAST\r\n", size)
			sent = -int64(len(line))
			b = b[announced-len(line):]
			copy(b, line)
		}
		sent += int64(len(b))
		return write(d, b)
	}
	if err := t.feed(d); err != nil {
		return err
	}
	if sent != size {
		return errChanged
	}
	return nil
}

// unreadError says that it is not for the remote that the message was not sent whole.
type unreadError struct{ err error }

func (e *unreadError) Error() string { return e.err.Error() }
func (e *unreadError) Unwrap() error { return e.err }

// announced is the room for the line that tells of a chunk.
const announced = 40

var errChanged = errors.New("the message changed while it was sent")

// measure is how many octets the message has as it is sent: those in the buffer,
// if that is all.
func (t *transaction) measure(d *stuffer, buffered int64) (int64, error) {
	if d.done {
		return buffered, nil
	}
	if t.plan != nil {
		return t.plan.Size(), nil
	}
	buf := t.w.o.chunks.get()
	defer t.w.o.chunks.put(buf)
	size := int64(0)
	err := t.feed(&stuffer{buf: buf[:0], start: true, flush: func(b []byte) error {
		size += int64(len(b))
		return nil
	}})
	return size, err
}

// feed passes the message to a stuffer, to its end.
func (t *transaction) feed(d *stuffer) error {
	if t.plan != nil {
		if _, err := t.plan.WriteTo(d); err != nil {
			return err
		}
		return d.finish()
	}
	if err := d.write(t.m.Prefix); err != nil {
		return err
	}
	in := t.w.o.chunks.get()
	defer t.w.o.chunks.put(in)
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
