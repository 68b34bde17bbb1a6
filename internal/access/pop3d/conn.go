package pop3d

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// conn sets a deadline before each read and write, and can be told to stop
// waiting for commands.
type conn struct {
	net.Conn // the socket, or TLS over it

	mu       sync.Mutex
	wait     time.Duration // for the next read
	draining bool
}

// writeTimeout is for one write of at most about 100 KiB.
const writeTimeout = 2 * time.Minute

// expect sets how long reads may take from now on.
func (c *conn) expect(d time.Duration) {
	c.mu.Lock()
	c.wait = d
	c.mu.Unlock()
}

// drain ends a wait for a command at once, and all later ones.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	_ = c.SetReadDeadline(time.Unix(1, 0)) // the read fails, or the connection is gone already
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	deadline := time.Now().Add(c.wait)
	if c.draining {
		deadline = time.Unix(1, 0)
	}
	err := c.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// secure goes on over TLS.
func (c *conn) secure(t *tls.Conn) {
	c.mu.Lock()
	c.Conn = t
	c.mu.Unlock()
}
