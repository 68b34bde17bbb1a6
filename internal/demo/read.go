package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
)

// maxRead bounds a message that is read, in octets.
const maxRead = 1 << 20

// imapClient speaks as much IMAP as reading one message takes.
type imapClient struct {
	conn net.Conn
	r    *bufio.Reader
	tags int
	news int // messages in the mailbox as last told
}

// readIMAP waits for the first message of INBOX and returns it.
func readIMAP(ctx context.Context, u user) (raw []byte, err error) {
	conn, err := u.home.dial(ctx, u.home.ports.imaps, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	c := &imapClient{conn: conn, r: bufio.NewReader(conn)}
	if _, err := c.line(); err != nil {
		return nil, err
	}
	if _, err := c.command(fmt.Sprintf(`LOGIN "%s" "%s"`, u.address, u.password)); err != nil {
		return nil, err
	}
	if _, err := c.command("SELECT INBOX"); err != nil {
		return nil, err
	}
	if err := c.idle(); err != nil {
		return nil, err
	}
	if raw, err = c.command("FETCH 1 BODY.PEEK[]"); err != nil {
		return nil, err
	}
	_, err = c.command("LOGOUT")
	return raw, err
}

// command runs one command and returns the last literal in its answer.
func (c *imapClient) command(text string) ([]byte, error) {
	tag, err := c.send(text)
	if err != nil {
		return nil, err
	}
	return c.finish(tag, text)
}

func (c *imapClient) send(text string) (tag string, err error) {
	c.tags++
	tag = "d" + strconv.Itoa(c.tags)
	_, err = io.WriteString(c.conn, tag+" "+text+"\r\n")
	return tag, err
}

// finish reads up to the tagged answer, which must be OK.
func (c *imapClient) finish(tag, text string) (literal []byte, err error) {
	for {
		answer, err := c.line()
		if err != nil {
			return nil, err
		}
		if n := literalSize(answer); n >= 0 {
			if n > maxRead {
				return nil, fmt.Errorf("a literal of %d octets", n)
			}
			literal = make([]byte, n)
			if _, err := io.ReadFull(c.r, literal); err != nil {
				return nil, err
			}
			continue
		}
		if rest, ok := strings.CutPrefix(answer, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				verb, _, _ := strings.Cut(text, " ")
				return nil, fmt.Errorf("%s: %s", verb, rest)
			}
			return literal, nil
		}
	}
}

// line reads one line and notes how many messages there are.
func (c *imapClient) line() (string, error) {
	text, err := c.r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text = strings.TrimRight(text, "\r\n")
	if words := strings.Fields(text); len(words) == 3 && words[0] == "*" && words[2] == "EXISTS" {
		if c.news, err = strconv.Atoi(words[1]); err != nil {
			return "", err
		}
	}
	return text, nil
}

// literalSize is the n of a line that ends in {n}, else -1.
func literalSize(text string) int {
	begin := strings.LastIndexByte(text, '{')
	if begin < 0 || !strings.HasSuffix(text, "}") {
		return -1
	}
	n, err := strconv.Atoi(text[begin+1 : len(text)-1])
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// idle waits until the server tells of a message. The connection's deadline
// bounds it.
func (c *imapClient) idle() error {
	if c.news > 0 {
		return nil
	}
	tag, err := c.send("IDLE")
	if err != nil {
		return err
	}
	for told := false; !told || c.news == 0; {
		answer, err := c.line()
		if err != nil {
			return fmt.Errorf("wait for the message: %w", err)
		}
		told = told || strings.HasPrefix(answer, "+")
		if strings.HasPrefix(answer, tag+" ") {
			return fmt.Errorf("IDLE: %s", answer)
		}
	}
	if _, err := io.WriteString(c.conn, "DONE\r\n"); err != nil {
		return err
	}
	_, err = c.finish(tag, "IDLE")
	return err
}

// readPOP3 returns the first message of the maildrop.
func readPOP3(ctx context.Context, u user) (raw []byte, err error) {
	conn, err := u.home.dial(ctx, u.home.ports.pop3s, true)
	if err != nil {
		return nil, err
	}
	c := textproto.NewConn(conn)
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := popReply(c); err != nil {
		return nil, err
	}
	for _, text := range []string{"USER " + u.address, "PASS " + u.password, "STAT", "RETR 1"} {
		if err := c.PrintfLine("%s", text); err != nil {
			return nil, err
		}
		if err := popReply(c); err != nil {
			verb, _, _ := strings.Cut(text, " ")
			return nil, fmt.Errorf("%s: %w", verb, err)
		}
	}
	raw, err = io.ReadAll(io.LimitReader(c.DotReader(), maxRead))
	if err != nil {
		return nil, err
	}
	if err := c.PrintfLine("QUIT"); err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n")), popReply(c)
}

func popReply(c *textproto.Conn) error {
	text, err := c.ReadLine()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(text, "+OK") {
		return errors.New(text)
	}
	return nil
}
