package imapd

import (
	"crypto/tls"
	"net"
	"os"
	"sync"
	"time"
)

// conn sets a deadline before each read and write, and can be told to stop
// waiting for input.
type conn struct {
	writeTimeout time.Duration

	mu       sync.Mutex
	sock     net.Conn // the socket, or TLS over it
	wait     wait
	draining bool
	poked    bool
}

// wait says how long input may take.
type wait struct {
	each  time.Duration // for each read ...
	until time.Time     // ... or, unless zero, for all
	busy  bool          // a command's input: not to be cut off by drain
}

// past is a deadline that is over.
func past() time.Time { return time.Unix(1, 0) }

// expect sets how long reads may take from now on.
func (c *conn) expect(w wait) {
	c.mu.Lock()
	c.wait = w
	c.mu.Unlock()
}

// drain ends a wait for a command at once, and all later ones.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.wait.busy {
		_ = c.sock.SetReadDeadline(past()) // the read fails, or the connection is gone already
	}
}

// poke ends the read that is under way or comes next with
// os.ErrDeadlineExceeded. The reader says calm before it reads on.
func (c *conn) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poked = true
	_ = c.sock.SetReadDeadline(past()) // as in drain
}

// calm takes back a poke and tells whether there was one.
func (c *conn) calm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.poked
	c.poked = false
	return was
}

// ready sets the deadline of a read.
func (c *conn) ready() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poked || c.draining && !c.wait.busy {
		return nil, os.ErrDeadlineExceeded
	}
	deadline := c.wait.until
	if deadline.IsZero() {
		deadline = time.Now().Add(c.wait.each)
	}
	return c.sock, c.sock.SetReadDeadline(deadline)
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	sock, err := c.ready()
	if err != nil {
		return 0, err
	}
	return sock.Read(p)
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.sock.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err
	}
	return c.sock.Write(p)
}

// secure goes on over TLS.
func (c *conn) secure(t *tls.Conn) {
	c.mu.Lock()
	c.sock = t
	c.mu.Unlock()
}
