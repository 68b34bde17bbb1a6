package readback

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// IMAP is one session of an IMAP client that knows just enough (RFC 3501).
type IMAP struct {
	conn   net.Conn
	in     *bufio.Reader
	prefix string
	n      int
}

// Line is one untagged response. Each literal in it is replaced by {n}, its place
// in Literals.
type Line struct {
	Text     string
	Literals [][]byte
}

// DialIMAP connects and logs in. prefix begins each tag of the session.
func DialIMAP(ctx context.Context, addr, prefix, login, password string) (*IMAP, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &IMAP{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), prefix: prefix}
	err = conn.SetDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = s.in.ReadString('\n') // the greeting
	}
	if err == nil {
		_, _, err = s.Do("LOGIN " + login + " " + password)
	}
	if err != nil {
		_ = conn.Close() // the error that matters is err
		return nil, err
	}
	return s, nil
}

// Close ends the session.
func (s *IMAP) Close() error { return s.conn.Close() }

// Do sends a command and returns its tag and the untagged responses. An answer
// other than OK is an error.
func (s *IMAP) Do(command string) (tag string, lines []Line, err error) {
	tag = s.tag()
	if err := s.send(tag + " " + command + "\r\n"); err != nil {
		return tag, nil, err
	}
	lines, _, err = s.answer(tag)
	return tag, lines, err
}

// Append adds a message to a mailbox and returns the tag of the command.
func (s *IMAP) Append(mailbox string, message []byte) (tag string, err error) {
	tag = s.tag()
	if err := s.send(fmt.Sprintf("%s APPEND %q {%d}\r\n", tag, mailbox, len(message))); err != nil {
		return tag, err
	}
	_, more, err := s.answer(tag)
	if err != nil {
		return tag, err
	}
	if !more {
		return tag, errors.New("APPEND was answered before its message")
	}
	if err := s.send(string(message) + "\r\n"); err != nil {
		return tag, err
	}
	_, _, err = s.answer(tag)
	return tag, err
}

func (s *IMAP) tag() string {
	s.n++
	return s.prefix + strconv.Itoa(s.n)
}

func (s *IMAP) send(text string) error {
	if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(s.conn, text)
	return err
}

// answer reads up to the tagged line, or to a request to go on.
func (s *IMAP) answer(tag string) (lines []Line, more bool, err error) {
	for {
		l, err := s.line()
		if err != nil {
			return append(lines, l), false, err
		}
		switch {
		case strings.HasPrefix(l.Text, "+"):
			return lines, true, nil
		case strings.HasPrefix(l.Text, tag+" OK"):
			return lines, false, nil
		case strings.HasPrefix(l.Text, tag+" "):
			return lines, false, fmt.Errorf("the server said %q", l.Text)
		}
		lines = append(lines, l)
	}
}

func (s *IMAP) line() (l Line, err error) {
	for {
		text, err := s.in.ReadString('\n')
		if err != nil {
			return l, err
		}
		text = strings.TrimRight(text, "\r\n")
		open := strings.LastIndexByte(text, '{')
		if open < 0 || !strings.HasSuffix(text, "}") {
			l.Text += text
			return l, nil
		}
		size, err := strconv.Atoi(text[open+1 : len(text)-1])
		if err != nil || size < 0 || size > 1<<28 {
			return l, fmt.Errorf("a literal of %q octets", text[open:])
		}
		literal := make([]byte, size)
		n, err := io.ReadFull(s.in, literal)
		l.Text += text[:open] + fmt.Sprintf("{%d}", len(l.Literals))
		l.Literals = append(l.Literals, literal[:n])
		if err != nil {
			return l, err
		}
	}
}

// Message is one message in a mailbox.
type Message struct {
	Mailbox string
	UID     int
	Flags   []string
	Body    []byte
}

// fetchSlice is how many messages are read with one command.
const fetchSlice = 200

// ReadAll reads every message of every mailbox.
func (s *IMAP) ReadAll() ([]Message, error) {
	_, lines, err := s.Do(`LIST "" "*"`)
	if err != nil {
		return nil, err
	}
	var all []Message
	for _, l := range lines {
		rest, ok := strings.CutPrefix(l.Text, "* LIST ")
		if _, name, cut := strings.Cut(rest, `"/" `); ok && cut && !strings.Contains(strings.ToLower(rest), `\noselect`) {
			messages, err := s.Read(strings.Trim(name, `"`))
			if err != nil {
				return all, fmt.Errorf("mailbox %s: %w", name, err)
			}
			all = append(all, messages...)
		}
	}
	return all, nil
}

// Read reads every message of one mailbox.
func (s *IMAP) Read(mailbox string) ([]Message, error) {
	_, lines, err := s.Do(fmt.Sprintf("EXAMINE %q", mailbox))
	if err != nil {
		return nil, err
	}
	exists := 0
	for _, l := range lines {
		if n, ok := strings.CutSuffix(l.Text, " EXISTS"); ok {
			if exists, err = strconv.Atoi(strings.TrimPrefix(n, "* ")); err != nil {
				return nil, err
			}
		}
	}
	var all []Message
	for first := 1; first <= exists; first += fetchSlice {
		_, lines, err := s.Do(fmt.Sprintf("FETCH %d:%d (UID FLAGS BODY.PEEK[])", first, min(exists, first+fetchSlice-1)))
		if err != nil {
			return all, err
		}
		for _, l := range lines {
			if len(l.Literals) == 1 {
				all = append(all, Message{Mailbox: mailbox, UID: number(l.Text, "UID "), Flags: flags(l.Text), Body: l.Literals[0]})
			}
		}
	}
	if len(all) != exists {
		return all, fmt.Errorf("%d messages read of %d", len(all), exists)
	}
	return all, nil
}

func number(text, after string) int {
	_, rest, _ := strings.Cut(text, after)
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(rest[:end]) // 0 where there is none
	return n
}

func flags(text string) []string {
	_, rest, _ := strings.Cut(text, "FLAGS (")
	list, _, _ := strings.Cut(rest, ")")
	return strings.Fields(list)
}

// Flagged tells whether a message has a flag, such as \Flagged.
func (m *Message) Flagged(flag string) bool { return slices.Contains(m.Flags, flag) }

// FetchBody reads a whole message by its number. With an error it returns what came
// of the message before.
func (s *IMAP) FetchBody(n int) ([]byte, error) {
	_, lines, err := s.Do(fmt.Sprintf("FETCH %d BODY.PEEK[]", n))
	for _, l := range lines {
		if len(l.Literals) > 0 {
			return l.Literals[0], err
		}
	}
	if err == nil {
		err = errors.New("the server said OK without the message")
	}
	return nil, err
}
