package smtpd_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/stack"
)

// corked keeps what is written until it is let out, so that records of TLS leave together
// or in parts.
type corked struct {
	net.Conn
	shut bool
	kept []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if !c.shut {
		return c.Conn.Write(p)
	}
	c.kept = append(c.kept, p...)
	return len(p), nil
}

// let writes what was kept, but for the last octets.
func (c *corked) let(t *testing.T, but int) {
	t.Helper()
	n := len(c.kept) - but
	if _, err := c.Conn.Write(c.kept[:n]); err != nil {
		t.Fatal(err)
	}
	c.kept = c.kept[n:]
}

// secured is a session in TLS whose records are let out by the test.
func (r *rig) secured(t *testing.T, c *client) (*client, *corked) {
	t.Helper()
	c.say("STARTTLS", "220")
	cork := &corked{Conn: c.conn}
	conn := tls.Client(cork, r.ca.ClientConfig(stack.Hostname))
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn), cork
}

// records puts each text into a record of its own and lets them out in one piece, but for
// the last octets.
func (c *corked) records(t *testing.T, client *client, but int, texts ...string) {
	t.Helper()
	c.shut = true
	for _, text := range texts {
		client.send(text)
	}
	c.let(t, but)
}

const (
	onceEnvelope = "EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@hayauma.test>\r\nDATA\r\n"
	onceContent  = "Message-ID: <one@b.test>\r\nSubject: one\r\n\r\nHello\r\n.\r\n"
)

// begun is a session that is to go on with a content.
func begun(c *client) {
	c.t.Helper()
	c.send(onceEnvelope)
	for _, code := range []string{"250", "250", "250", "354"} {
		c.expect(code)
	}
}

// again tells whether a message that comes once more is filed once more.
func (r *rig) again(t *testing.T) bool {
	t.Helper()
	r.served.Wait()
	c := r.open("1")
	begun(c)
	c.send(onceContent)
	c.expect("250")
	return len(r.Inbox("alice@hayauma.test")) == 2
}

// TestUnreadReplyInTLS: only what the peer wrote after our 250 shows that it was read, in
// whatever records the peer wrote before it (docs/adr/0004).
func TestUnreadReplyInTLS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		records []string
		later   int    // octets of them that come behind the reply
		behind  string // what the peer says after that
		read    bool
	}{
		{"nothing behind", []string{onceContent}, 0, "", false},
		{"in the same record", []string{onceContent + "NOOP\r\n"}, 0, "", false},
		{"in a record of its own", []string{onceContent, "NOOP\r\n"}, 0, "", false},
		{"in more records", []string{onceContent, "NOOP\r\n", "NOOP\r\n"}, 0, "", false},
		{"a command in two records", []string{onceContent, "NO", "OP\r\n"}, 0, "", false},
		{"a record in two parts", []string{onceContent, "NOOP\r\n"}, 4, "", false},
		{"a record's head in two parts", []string{onceContent, "NOOP\r\n"}, 26, "", false},
		{"after the reply", []string{onceContent}, 0, "NOOP\r\n", true},
		{"before and after the reply", []string{onceContent, "NOOP\r\n"}, 0, "NOOP\r\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, stack.Options{})
			c, cork := r.secured(t, r.open("1"))
			begun(c)
			cork.records(t, c, test.later, test.records...)
			c.expect("250") // now it has gone out, whoever reads it
			cork.let(t, 0)
			if test.behind != "" {
				for range test.records[1:] {
					c.expect("250")
				}
				c.send(test.behind)
				cork.let(t, 0)
			}
			if err := cork.Close(); err != nil {
				t.Fatal(err)
			}
			if got := r.again(t); got != test.read {
				t.Errorf("filed again: %v, want %v", got, test.read)
			}
		})
	}
}

// TestUnreadReplyBehindQuit: TLS that ended behind a QUIT is no connection that ended in
// order.
func TestUnreadReplyBehindQuit(t *testing.T) {
	t.Parallel()
	r := newRig(t, stack.Options{})
	l := r.listen(t)
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }() // closed already
	plain := newClient(t, raw)
	plain.expect("220")
	c, cork := r.secured(t, plain)
	begun(c)
	cork.shut = true
	c.send(onceContent)
	c.send("QUIT\r\n")
	if conn, ok := c.conn.(*tls.Conn); !ok || conn.CloseWrite() != nil {
		t.Fatal("TLS does not end")
	}
	if err := raw.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil { // CloseWrite ended it
		t.Fatal(err)
	}
	cork.let(t, 0)
	c.expect("250")
	// The rest stays unread, for which the host resets the connection.
	if _, err := io.ReadFull(raw, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r.again(t) {
		t.Error("filed again")
	}
}
