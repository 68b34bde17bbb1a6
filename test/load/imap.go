package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ReadIMAP logs in, selects INBOX and fetches flags, envelopes and bodies of all
// messages.
func (r *Reader) ReadIMAP(ctx context.Context) (*ReadResult, error) {
	return r.read(ctx, func(s *readSession) error {
		if err := s.imapLogin(); err != nil {
			return err
		}
		for range s.cfg.Rounds {
			exists, err := s.imapSelect()
			if err != nil {
				return err
			}
			if exists == 0 {
				continue
			}
			for _, f := range []struct{ step, items string }{
				{"flags", "(UID FLAGS)"}, {"envelope", "(UID RFC822.SIZE ENVELOPE BODYSTRUCTURE)"}, {"body", "(UID BODY.PEEK[])"},
			} {
				err := s.timed(f.step, func() error { return s.imapCommand("FETCH 1:* "+f.items, nil) })
				if err != nil {
					return err
				}
			}
			s.messages += int64(exists)
		}
		return s.timed("logout", func() error { return s.imapCommand("LOGOUT", nil) })
	})
}

// countBatch bounds the logins that CountIMAP makes at once.
const countBatch = 4

// CountIMAP sums the messages in the INBOX of every mailbox.
func (r *Reader) CountIMAP(ctx context.Context) (int64, error) {
	var sum int64
	for first := 0; first < r.Mailboxes; first += countBatch {
		c := *r
		c.first, c.Sessions = first, min(countBatch, r.Mailboxes-first)
		res, err := c.read(ctx, func(s *readSession) error {
			if err := s.imapLogin(); err != nil {
				return err
			}
			exists, err := s.imapSelect()
			s.messages = int64(exists)
			return err
		})
		if err != nil {
			return sum, err
		}
		if len(res.Errors) > 0 {
			return sum, fmt.Errorf("count mailboxes from %d: %v", first, res.Errors)
		}
		sum += res.Messages
	}
	return sum, nil
}

// settleTime is how long sessions idle before atIdle looks at the server.
const settleTime = 2 * time.Second

// loginsAtOnce bounds the sessions of HoldIdle that log in at the same time.
const loginsAtOnce = 16

// HoldIdle logs all sessions in, selects INBOX, sends IDLE, and calls atIdle once
// all that could be are idle; then it ends them.
func (r *Reader) HoldIdle(ctx context.Context, atIdle func() error) (*ReadResult, error) {
	c := *r
	c.bufSize = 4 << 10
	c.Sessions = max(c.Sessions, 1)
	gate := make(chan struct{}, loginsAtOnce)
	settled := make(chan struct{}, c.Sessions)
	release := make(chan struct{})
	// A login server may give each connection a process until the login is
	// done: so no connection waits for another one's login.
	c.enter = func() { gate <- struct{}{} }
	c.leave = func() { <-gate; settled <- struct{}{} }
	var res *ReadResult
	var readErr error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		res, readErr = c.read(ctx, func(s *readSession) error {
			err := s.goIdle()
			c.leave()
			if err == nil {
				<-release
			}
			return err
		})
	}()
	for n := 0; n < c.Sessions; n++ {
		select {
		case <-settled:
		case <-ended: // the address was refused
			n = c.Sessions
		case <-ctx.Done():
			n = c.Sessions
		}
	}
	select { // what logging in took for a moment is not what idling takes
	case <-time.After(settleTime):
	case <-ctx.Done():
	}
	err := atIdle()
	close(release)
	<-ended
	return res, errors.Join(readErr, err)
}

// goIdle leaves the session in IDLE (RFC 2177) with no time limit on it.
func (s *readSession) goIdle() error {
	if err := s.imapLogin(); err != nil {
		return err
	}
	if _, err := s.imapSelect(); err != nil {
		return err
	}
	err := s.timed("idle", func() error {
		if err := s.write([]byte("i IDLE\r\n")); err != nil {
			return err
		}
		for {
			l, err := s.line()
			if err != nil {
				return err
			}
			if bytes.HasPrefix(l, []byte("+")) {
				return nil
			}
			if bytes.HasPrefix(l, []byte("i ")) {
				return &ReplyError{Step: "IDLE", Text: string(l)}
			}
		}
	})
	if err != nil {
		return err
	}
	return s.nc.SetDeadline(time.Time{})
}

func (s *readSession) imapLogin() error {
	return s.timed("login", func() error {
		if err := s.imapGreeting(); err != nil {
			return err
		}
		return s.imapCommand("LOGIN "+s.login+" "+s.cfg.Password, nil)
	})
}

func (s *readSession) imapGreeting() error {
	l, err := s.line()
	if err == nil && !bytes.HasPrefix(l, []byte("* OK")) {
		err = &ReplyError{Step: "greeting", Text: string(l)}
	}
	return err
}

func (s *readSession) imapSelect() (exists int, err error) {
	err = s.timed("select", func() error {
		return s.imapCommand("SELECT INBOX", func(l []byte) {
			if n, ok := bytes.CutSuffix(l, []byte(" EXISTS")); ok && len(n) > 2 {
				if v, err := strconv.Atoi(string(n[2:])); err == nil {
					exists = v
				}
			}
		})
	})
	return exists, err
}

// imapCommand writes a command and reads up to its tagged reply, which must be
// OK; untagged lines go to each, literals are skipped.
func (s *readSession) imapCommand(command string, each func([]byte)) error {
	s.tag++
	tag := "a" + strconv.Itoa(s.tag) + " "
	if err := s.write([]byte(tag + command + "\r\n")); err != nil {
		return err
	}
	verb, _, _ := strings.Cut(command, " ")
	for continued := false; ; {
		l, err := s.line()
		if err != nil {
			return err
		}
		if !continued && bytes.HasPrefix(l, []byte(tag)) {
			if !bytes.HasPrefix(l[len(tag):], []byte("OK")) {
				return &ReplyError{Step: verb, Text: string(l)}
			}
			return nil
		}
		if !continued && each != nil {
			each(l)
		}
		n, literal := literalSize(l)
		if literal {
			if err := s.skip(n); err != nil {
				return err
			}
		}
		continued = literal
	}
}

// literalSize finds the {n} at the end of a line (RFC 3501 §4.3).
func literalSize(l []byte) (int64, bool) {
	if len(l) < 3 || l[len(l)-1] != '}' {
		return 0, false
	}
	open := bytes.LastIndexByte(l, '{')
	if open < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(l[open+1:len(l)-1]), 10, 64)
	return n, err == nil && n >= 0
}
