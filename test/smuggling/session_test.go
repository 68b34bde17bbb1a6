package smuggling

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/node"
)

// talk is one connection to the server.
type talk struct {
	conn net.Conn
	in   *bufio.Reader
}

// dial connects, in TLS if there is a config, and reads the greeting.
func dial(ctx context.Context, addr string, secure *tls.Config) (*talk, error) {
	dialer := &net.Dialer{Timeout: node.Patience}
	conn, err := dialer.DialContext(ctx, "tcp", addr) // Go sets TCP_NODELAY
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(node.Patience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	c := &talk{conn: conn, in: bufio.NewReader(conn)}
	if err := c.expect("220 "); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// trusting is the config that trusts the server.
func trusting(t *testing.T, n *node.Node) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(n.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// reply is the next reply, of which the last line counts.
func (c *talk) reply() (string, error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return line, err
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSuffix(line, "\r\n"), nil
		}
	}
}

// expect reads replies that begin so.
func (c *talk) expect(replies ...string) error {
	for i, want := range replies {
		got, err := c.reply()
		if err != nil {
			return fmt.Errorf("reply %d of %q: %q, %w", i+1, replies, got, err)
		}
		if !strings.HasPrefix(got, want) {
			return fmt.Errorf("reply %d of %q is %q", i+1, replies, got)
		}
	}
	return nil
}

// say writes in one piece and reads the replies.
func (c *talk) say(text string, replies ...string) error {
	if _, err := io.WriteString(c.conn, text); err != nil {
		return err
	}
	return c.expect(replies...)
}

// startTLS secures the connection: from then on each write is one record, and
// the server reads no further than one record at once.
func (c *talk) startTLS(config *tls.Config) error {
	if err := c.say("EHLO c.test\r\nSTARTTLS\r\n", "250 ", "220 "); err != nil {
		return err
	}
	c.secure(config)
	return nil
}

// secure goes on in TLS.
func (c *talk) secure(config *tls.Config) {
	c.conn = tls.Client(c.conn, config)
	c.in = bufio.NewReader(c.conn)
}

// leave shows that no reply was left over.
func (c *talk) leave() error {
	if err := c.say("QUIT\r\n", "221 "); err != nil {
		return err
	}
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		return fmt.Errorf("behind the goodbye came %q, %w", rest, err)
	}
	return nil
}

// errProtocol is an answer that no IMAP server gives.
var errProtocol = errors.New("not what IMAP says")

// inbox reads all of a user's messages over IMAP.
func inbox(t *testing.T, n *node.Node, user string) []string {
	t.Helper()
	dialer := &tls.Dialer{Config: trusting(t, n)}
	conn, err := dialer.DialContext(t.Context(), "tcp", n.IMAPS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "a LOGIN %s@%s %q\r\nb EXAMINE INBOX\r\nc UID FETCH 1:* BODY.PEEK[]\r\n", user, n.Domain, node.Password); err != nil {
		t.Fatal(err)
	}
	letters, err := literals(bufio.NewReader(conn), "c OK")
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

// literals reads up to the line that begins with last.
func literals(in *bufio.Reader, last string) ([]string, error) {
	var out []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(line, last) {
			return out, nil
		}
		if len(line) > 3 && line[0] == last[0] {
			return nil, fmt.Errorf("%w: %q", errProtocol, line)
		}
		_, size, found := strings.Cut(line, "{")
		if !found {
			continue
		}
		n := 0
		if _, err := fmt.Sscanf(size, "%d}", &n); err != nil {
			return nil, fmt.Errorf("%w: %q", errProtocol, line)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		out = append(out, string(text))
	}
}
