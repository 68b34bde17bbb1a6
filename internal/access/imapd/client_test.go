package imapd_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// patience is how long an answer may take.
const patience = 20 * time.Second

// client is the other side of a session.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	tags int
}

// connect opens a session and takes its greeting.
func (w *world) connect() *client {
	w.t.Helper()
	conn, err := w.dial("")
	w.must(err)
	c := &client{t: w.t, conn: conn, in: bufio.NewReader(conn)}
	w.t.Cleanup(func() { _ = conn.Close() })
	if greeting := c.line(); !strings.HasPrefix(greeting, "* OK ") {
		w.t.Fatalf("greeting: %q", greeting)
	}
	return c
}

// enter opens a session that has logged in and, unless box is empty, selected
// a mailbox.
func (w *world) enter(box string) *client {
	w.t.Helper()
	c := w.connect()
	c.ok(fmt.Sprintf("LOGIN %s %q", login, password))
	if box != "" {
		c.ok("SELECT " + box)
	}
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// next returns a line without its end; io.EOF is an empty one.
func (c *client) next() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	line, err := c.in.ReadString('\n')
	return strings.TrimSuffix(line, "\r\n"), err
}

func (c *client) line() string {
	c.t.Helper()
	line, err := c.next()
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return line
}

// run sends a command and returns its untagged lines, and the tagged one
// without its tag.
func (c *client) run(command string) (untagged []string, tagged string) {
	c.t.Helper()
	c.tags++
	tag := fmt.Sprintf("t%d ", c.tags)
	c.send(tag + command + "\r\n")
	for {
		line := c.line()
		if rest, ok := strings.CutPrefix(line, tag); ok {
			return untagged, rest
		}
		untagged = append(untagged, line)
	}
}

func (c *client) ok(command string) []string {
	c.t.Helper()
	untagged, tagged := c.run(command)
	if !strings.HasPrefix(tagged, "OK") {
		c.t.Fatalf("%s: %s", command, tagged)
	}
	return untagged
}

// ends waits for the server to hang up and returns what it said before.
func (c *client) ends() string {
	c.t.Helper()
	var said []string
	for {
		line, err := c.next()
		if line != "" {
			said = append(said, line)
		}
		if errors.Is(err, io.EOF) {
			return strings.Join(said, "\n")
		}
		if err != nil {
			c.t.Fatalf("after %q: %v", said, err)
		}
	}
}
