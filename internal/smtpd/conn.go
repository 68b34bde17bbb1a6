package smtpd

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/socket"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// conn sets a deadline before each read and write, and can be told to stop
// waiting for commands.
type conn struct {
	net.Conn                 // the socket, or TLS over it
	below    *socket.Records // of TLS; nil in clear

	mu       sync.Mutex
	wait     time.Duration // how long a content may pause at the most
	line     time.Time     // until when a whole line may take
	until    time.Time     // until when the content may take, but for what its next octets earn it
	busy     bool          // a content is being read: not to be cut off by drain
	holds    bool          // some of a content was read, and memory is held for it
	waited   time.Duration // for the peer, since its speed was looked at
	since    int           // octets that came meanwhile
	draining bool
	hindered bool      // it was cut, since others wait for what it holds
	armed    time.Time // the deadline of reads that is set
	writeBy  time.Time // that of writes
	wrote    time.Time // when the peer last heard something

	pressed func() bool
}

const (
	writeTimeout = 2 * time.Minute // and at least half of it, since not every write sets it anew
	// minRate is the slowest a content may come, in octets a second. What is sent
	// faster saves up pauses, one time-out of them at the most: else an octet now
	// and then holds a session, and a message in memory, for hours.
	minRate = 256
	// While other messages wait for memory, one has to come at pressedRate, in octets
	// a second, looked at every lookEvery.
	pressedRate, lookEvery = 4096, 5 * time.Second
	// closeTimeout is how long a peer may take to close after QUIT while we
	// want to know whether it saw our replies.
	closeTimeout = 2 * time.Second
	// armSlack is how much too early a read may end: to set its deadline costs as much
	// as to look at what it brings.
	armSlack = 20 * time.Millisecond
)

// past is a deadline that is over.
func past() time.Time { return time.Unix(1, 0) }

// expectLine gives a whole command line its time, however slowly it drips, but
// not beyond a limit.
func (c *conn) expectLine(d time.Duration, limit time.Time) {
	c.mu.Lock()
	c.line, c.busy = earlier(time.Now().Add(d), limit), false
	c.mu.Unlock()
}

// expectContent gives a content its time.
func (c *conn) expectContent(d time.Duration) {
	c.mu.Lock()
	now := time.Now()
	c.wait, c.until, c.busy = d, now.Add(d), true
	c.holds, c.waited, c.since = true, 0, 0
	c.mu.Unlock()
}

// contentOver says that nothing is held any longer.
func (c *conn) contentOver() {
	c.mu.Lock()
	c.holds = false
	c.mu.Unlock()
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// resumeContent goes on with a content that is interrupted by commands. Its time
// has gone on.
func (c *conn) resumeContent() {
	c.mu.Lock()
	c.busy = true
	c.mu.Unlock()
}

// contentEnds is when a content that is interrupted is over.
func (c *conn) contentEnds() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.until
}

// drain ends a wait for a command at once, and all later ones.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	if !c.busy {
		c.armed = past()
		_ = c.SetReadDeadline(c.armed) // the read fails, or the connection is gone already
	}
}

// stopping tells whether drain was called.
func (c *conn) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// cut ends a content that is being read, in favour of those who wait for its memory.
func (c *conn) cut() {
	c.mu.Lock()
	c.busy, c.draining, c.hindered = false, true, true
	c.mu.Unlock()
}

// hinders tells whether cut was called.
func (c *conn) hinders() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hindered
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	if c.below != nil && c.below.Shut { // see ahead
		return c.Conn.Read(p)
	}
	if !c.holds { // only the session's goroutine changes it
		if err := c.arm(time.Time{}); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(p)
		c.ran(err)
		return n, err
	}
	for {
		begun := time.Now()
		if err := c.arm(begun); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(p)
		c.ran(err)
		if c.count(n, begun) && c.pressed() {
			c.cut()
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.late() {
			return n, err
		}
	}
}

// arm sets the deadline of the next read, or when its speed is to be looked at. It
// holds mu, as drain does, so that it cannot put a later one over drain's.
func (c *conn) arm(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.deadline()
	if c.holds {
		at = earlier(at, now.Add(lookEvery-c.waited))
	}
	if early := at.Sub(c.armed); early >= 0 && early < armSlack {
		return nil
	}
	c.armed = at
	return c.SetReadDeadline(at)
}

// ran tells how a read ended: a deadline that is over holds for no other.
func (c *conn) ran(err error) {
	if err != nil {
		c.mu.Lock()
		c.armed = time.Time{}
		c.mu.Unlock()
	}
}

// late tells whether the time for what is read is over.
func (c *conn) late() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !time.Now().Before(c.deadline())
}

// count adds octets, and tells whether a content comes too slowly for others to
// wait for it.
func (c *conn) count(n int, begun time.Time) (slow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.busy {
		earned := time.Duration(n) * time.Second / minRate
		c.until = earlier(c.until.Add(earned), now.Add(c.wait))
	}
	c.since += n
	// Not the time that we let the peer wait: for memory, perhaps.
	if c.waited += now.Sub(begun); c.waited < lookEvery {
		return false
	}
	slow = time.Duration(c.since)*time.Second/pressedRate < c.waited
	c.waited, c.since = 0, 0
	return slow
}

// deadline is when the coming read ends. mu is held.
func (c *conn) deadline() time.Time {
	switch {
	case c.busy:
		return c.until
	case c.draining:
		return past()
	}
	return c.line
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	c.wrote = time.Now()
	if c.writeBy.Sub(c.wrote) < writeTimeout/2 {
		c.writeBy = c.wrote.Add(writeTimeout)
		if err := c.SetWriteDeadline(c.writeBy); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// secure goes on over TLS.
func (c *conn) secure(t *tls.Conn) {
	c.mu.Lock()
	c.Conn = t
	c.below, _ = t.NetConn().(*socket.Records)
	c.mu.Unlock()
}

// ahead is how many octets of the peer wait behind what was read from in, at least; -1 if
// that cannot be told. in gets what TLS holds of them.
func (c *conn) ahead(in *smtp.Reader) int {
	if _, secured := c.Conn.(*tls.Conn); secured && in.Buffered() == 0 {
		if c.below == nil {
			return -1
		}
		c.below.Shut = true
		err := in.ReadAhead()
		c.below.Shut = false
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded): // TLS is over
			return -1
		case c.below.Partial():
			return 1
		}
	}
	if n := in.Buffered(); n > 0 {
		return n
	}
	return socket.Pending(c.Conn)
}

// readToEnd waits for the peer to close behind our goodbye. True means that it
// had all our octets and closed in order: a host that died with our reply
// unread resets the connection, and one that closed before it came does so too.
func (c *conn) readToEnd() bool {
	for end := time.Now().Add(closeTimeout); ; {
		left := socket.Unsent(c.Conn)
		if left == 0 {
			break
		}
		if left < 0 || !time.Now().Before(end) {
			return false
		}
		pause := time.NewTimer(time.Millisecond)
		<-pause.C
	}
	if err := c.SetReadDeadline(time.Now().Add(closeTimeout)); err != nil {
		return false
	}
	if c.below == nil {
		var b [1]byte
		n, err := c.Conn.Read(b[:])
		return n == 0 && errors.Is(err, io.EOF)
	}
	// TLS ends before the connection does, and may have come with the QUIT.
	_, err := io.Copy(io.Discard, c.below)
	return err == nil
}

// tlsName is how Received and the trace tell of a connection's TLS.
func tlsName(c net.Conn) string {
	t, ok := c.(*tls.Conn)
	if !ok {
		return ""
	}
	s := t.ConnectionState()
	version := strings.Replace(tls.VersionName(s.Version), "TLS ", "TLSv", 1)
	return version + " " + tls.CipherSuiteName(s.CipherSuite)
}
