package load

import (
	"bytes"
	"context"
	"strconv"
	"strings"
)

// ReadPOP3 logs in, lists and retrieves all messages, one after the other.
func (r *Reader) ReadPOP3(ctx context.Context) (*ReadResult, error) {
	return r.read(ctx, func(s *readSession) error {
		err := s.timed("login", func() error {
			if _, err := s.pop3("", false); err != nil {
				return err
			}
			if _, err := s.pop3("USER "+s.login, false); err != nil {
				return err
			}
			_, err := s.pop3("PASS "+s.cfg.Password, false)
			return err
		})
		if err != nil {
			return err
		}
		count := 0
		if err := s.timed("stat", func() (err error) { count, err = s.pop3("STAT", false); return err }); err != nil {
			return err
		}
		for range s.cfg.Rounds {
			for _, verb := range []string{"LIST", "UIDL"} {
				if err := s.timed(strings.ToLower(verb), func() error { _, err := s.pop3(verb, true); return err }); err != nil {
					return err
				}
			}
			for i := 1; i <= count; i++ {
				if err := s.timed("retr", func() error { _, err := s.pop3("RETR "+strconv.Itoa(i), true); return err }); err != nil {
					return err
				}
				s.messages++
			}
		}
		return s.timed("quit", func() error { _, err := s.pop3("QUIT", false); return err })
	})
}

// pop3 writes a command, if any, and reads its answer; it returns the number that
// follows +OK, if one does (the count, for STAT).
func (s *readSession) pop3(command string, multi bool) (int, error) {
	if command != "" {
		if err := s.write([]byte(command + "\r\n")); err != nil {
			return 0, err
		}
	}
	l, err := s.line()
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(l, []byte("+OK")) {
		verb, _, _ := strings.Cut(command, " ")
		return 0, &ReplyError{Step: "POP3 " + verb, Text: string(l)}
	}
	n := 0
	if f := bytes.Fields(l); len(f) > 1 {
		if v, err := strconv.Atoi(string(f[1])); err == nil {
			n = v
		}
	}
	for multi {
		if l, err = s.line(); err != nil {
			return 0, err
		}
		multi = len(l) != 1 || l[0] != '.'
	}
	return n, nil
}
