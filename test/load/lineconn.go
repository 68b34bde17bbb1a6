package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

var errLineTooLong = errors.New("line longer than the buffer")

// lineConn reads lines from a connection into one buffer that lives as long as
// the connection, so a dialogue allocates nothing.
type lineConn struct {
	nc      net.Conn
	buf     []byte
	r, w    int   // unread bytes are buf[r:w]
	read    int64 // bytes taken from the peer
	timeout time.Duration
	release func() bool // stops watching the context
}

// dialLine connects; the connection is closed when ctx ends, which frees a
// reader that waits.
func dialLine(ctx context.Context, t Target, bufSize int, timeout time.Duration) (*lineConn, error) {
	nc, err := t.Dial(ctx, timeout)
	if err != nil {
		return nil, err
	}
	c := &lineConn{nc: nc, buf: make([]byte, bufSize), timeout: timeout}
	c.release = context.AfterFunc(ctx, func() { _ = nc.Close() }) // ends the dialogue, which reports it
	return c, nil
}

func (c *lineConn) close() {
	c.release()
	_ = c.nc.Close() // the dialogue is over; nothing depends on it
}

// startTLS turns the connection into a TLS one. Certificates are not verified:
// the peer is on loopback and its certificate is self-signed.
func (c *lineConn) startTLS(ctx context.Context) error {
	tc := tls.Client(c.nc, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err := tc.HandshakeContext(ctx); err != nil {
		return err
	}
	c.nc, c.r, c.w = tc, 0, 0
	return nil
}

// arm sets the time by which the coming step or steps must be done.
func (c *lineConn) arm() error {
	return c.nc.SetDeadline(time.Now().Add(c.timeout))
}

func (c *lineConn) write(p []byte) error {
	_, err := c.nc.Write(p)
	return err
}

// line returns the next line without its end; it is valid until the next call.
func (c *lineConn) line() ([]byte, error) {
	from := c.r
	for {
		if i := bytes.IndexByte(c.buf[from:c.w], '\n'); i >= 0 {
			l := c.buf[c.r : from+i]
			c.r = from + i + 1
			if n := len(l); n > 0 && l[n-1] == '\r' {
				l = l[:n-1]
			}
			return l, nil
		}
		from = c.w
		moved, err := c.fill()
		if err != nil {
			return nil, err
		}
		from -= moved
	}
}

// fill reads once and tells by how much the unread bytes were moved down.
func (c *lineConn) fill() (moved int, err error) {
	if c.r == c.w {
		moved, c.r, c.w = c.r, 0, 0
	} else if c.w == len(c.buf) {
		if c.r == 0 {
			return 0, errLineTooLong
		}
		moved = c.r
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	n, err := c.nc.Read(c.buf[c.w:])
	c.w += n
	c.read += int64(n)
	if n > 0 {
		return moved, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return moved, err
}

// skip throws n bytes away (an IMAP literal).
func (c *lineConn) skip(n int64) error {
	for n > 0 {
		if c.r == c.w {
			if _, err := c.fill(); err != nil {
				return err
			}
		}
		take := min(n, int64(c.w-c.r))
		c.r += int(take)
		n -= take
	}
	return nil
}
