package readback

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// patience is for one answer of a server.
const patience = 60 * time.Second

// SMTP is one session that submits messages.
type SMTP struct {
	conn net.Conn
	in   *bufio.Reader
}

// DialSMTP connects and says EHLO.
func DialSMTP(ctx context.Context, addr string) (*SMTP, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &SMTP{conn: conn, in: bufio.NewReader(conn)}
	if _, err = s.reply(220); err == nil {
		_, err = s.say("EHLO client.example.test", 250)
	}
	if err != nil {
		_ = conn.Close() // the error that matters is err
		return nil, err
	}
	return s, nil
}

// Send gives one message to the server and returns the text of its final 250.
func (s *SMTP) Send(from string, to []string, message []byte) (string, error) {
	if _, err := s.say("MAIL FROM:<"+from+">", 250); err != nil {
		return "", err
	}
	for _, r := range to {
		if _, err := s.say("RCPT TO:<"+r+">", 250); err != nil {
			return "", err
		}
	}
	if _, err := s.say("DATA", 354); err != nil {
		return "", err
	}
	if _, err := s.conn.Write(message); err != nil {
		return "", err
	}
	return s.say(".", 250)
}

// Reset ends a transaction that was refused in its middle.
func (s *SMTP) Reset() error {
	_, err := s.say("RSET", 250)
	return err
}

// Close ends the session.
func (s *SMTP) Close() error { return s.conn.Close() }

func (s *SMTP) say(line string, want int) (string, error) {
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := s.conn.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	return s.reply(want)
}

// ReplyError is a reply that was not the one hoped for.
type ReplyError struct {
	Code int
	Text string
}

func (e *ReplyError) Error() string { return fmt.Sprintf("the server said %d %s", e.Code, e.Text) }

func (s *SMTP) reply(want int) (string, error) {
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) < 4 || line[3] == '-' {
			continue
		}
		var code int
		if _, err := fmt.Sscanf(line[:3], "%d", &code); err != nil {
			return "", fmt.Errorf("not a reply: %q", line)
		}
		if code != want {
			return "", &ReplyError{code, line[4:]}
		}
		return line[4:], nil
	}
}
